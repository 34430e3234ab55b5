// What a text is to be held to, in the words of OpenAI (`response_format`) and of vLLM (`structured_outputs`, `guided_json`).

internal import Core
internal import Inference

extension GrammarRequest {
  /// The most bytes of a schema, an expression or a grammar.
  private static let mostBytes = 256 << 10

  /// Reads all fields that speak of it; nil: the text is free.
  init?(_ fields: inout Fields) throws(APIError) {
    var given: [(name: String, request: GrammarRequest)] = []
    if let request = try Self.format(&fields, "response_format") { given.append(("response_format", request)) }
    if let object = try fields.object("structured_outputs") {
      var inner = fields.inside("structured_outputs", object)
      given += try Self.kinds(&inner, prefix: "")
      if try inner.flag("json_object") == true { given.append(("structured_outputs.json_object", .json)) }
      try inner.finish()
    }
    given += try Self.kinds(&fields, prefix: "guided_")
    fields.ignore("guided_decoding_backend")
    guard let first = given.first else { return nil }
    if given.count > 1 {
      throw fields.wrong(given[1].name, "and '\(first.name)' exclude each other")
    }
    self = first.request
  }

  /// `{"type": "json_schema", …}`, with the schema in an object of its own or, as /v1/responses has it, beside the type.
  static func format(_ fields: inout Fields, _ name: String) throws(APIError) -> GrammarRequest? {
    guard let object = try fields.object(name) else { return nil }
    var format = fields.inside(name, object)
    let type = try format.required("type", format.string("type"))
    if type == "text" {
      try format.finish()
      return nil
    }
    if type != "json_object" && type != "json_schema" {
      throw format.wrong("type", "is \"\(type.prefix(40))\"; known are text, json_object and json_schema")
    }
    if let inner = try format.object("json_schema") {
      try format.finish()
      format = format.inside("json_schema", inner)
    }
    let value = format.value("schema")
    format.ignore("type", "name", "strict", "description")
    try format.finish()
    if type == "json_object", value == nil { return .json }
    return try schema(format.required("schema", value), format, "schema")
  }

  private static func kinds(
    _ fields: inout Fields, prefix: String
  ) throws(APIError) -> [(name: String, request: GrammarRequest)] {
    var given: [(String, GrammarRequest)] = []
    func text(_ name: String) throws(APIError) -> String? {
      guard let text = try fields.string(name) else { return nil }
      if text.utf8.count > mostBytes { throw fields.wrong(name, "is longer than \(mostBytes) bytes") }
      return text
    }
    if let value = fields.value(prefix + "json") {
      given.append((prefix + "json", try schema(value, fields, prefix + "json")))
    }
    if let pattern = try text(prefix + "regex") { given.append((prefix + "regex", .regex(pattern))) }
    if let texts = try fields.strings(prefix + "choice") {
      if texts.isEmpty || texts.count > 4096 { throw fields.wrong(prefix + "choice", "must hold 1 to 4096 texts") }
      given.append((prefix + "choice", .choices(texts)))
    }
    if let grammar = try text(prefix + "grammar") { given.append((prefix + "grammar", .gbnf(grammar))) }
    return given
  }

  /// A schema, or the text of one.
  private static func schema(_ value: JSONValue, _ fields: Fields, _ name: String) throws(APIError) -> GrammarRequest {
    let text = value.string ?? value.json
    if text.utf8.count > mostBytes { throw fields.wrong(name, "is longer than \(mostBytes) bytes") }
    return .schema(text)
  }
}
