// /v1/embeddings, /v1/score, /v1/rerank and /classify: one vector, score or label of each text.
//
// The shapes are OpenAI's for embeddings, Jina's and Cohere's for rankings, and vLLM's for the rest.

internal import Core
internal import Formats
internal import Inference
internal import Models

extension APIService {
  /// The most texts of a request.
  private static let mostTexts = 2048

  // MARK: Endpoints

  func embed(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let pooler = try pooler(.vector)
    var fields = try Fields(body: request.body)
    try checkBaseModel(&fields)
    let isPacked =
      switch try fields.string("encoding_format") ?? "float" {
      case "float": false
      case "base64": true
      default: throw fields.wrong("encoding_format", "must be \"float\" or \"base64\"")
      }
    let dimensions = try fields.integer("dimensions", 1...65536)
    let inputs = try inputs(&fields, "input")
    let cuts = try readTruncation(&fields)
    let isEmbedding = request.path == "/v1/embeddings"
    let asker = try readAsker(&fields, responder)
    try fields.finish()
    pool(inputs, as: .vector, cuts: cuts, "input", pooler, asker, responder) { rows, tokens throws(APIError) in
      let width = rows[0].count
      if let dimensions, dimensions > width {
        throw APIError(
          .badRequest, "'dimensions' is \(dimensions), but the model's vectors have \(width).", parameter: "dimensions",
          code: "invalid_value")
      }
      let data = rows.enumerated().map { index, row -> JSONValue in
        let vector = dimensions.map { Self.shortened(row, to: $0) } ?? row
        let value: JSONValue = isPacked ? .string(Self.packed(vector)) : Self.numbers(vector)
        return [
          "index": .number(JSONNumber(index)), "object": isEmbedding ? "embedding" : "pooling",
          isEmbedding ? "embedding" : "data": value,
        ]
      }
      return [
        "object": "list", "data": .array(data), "model": .string(self.name), "usage": Self.usage(tokens),
      ]
    }
  }

  func score(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkBaseModel(&fields)
    func side(_ names: [String]) throws(APIError) -> [String] {
      var texts: [String]?
      for name in names {
        let given = try fields.strings(name)
        texts = texts ?? given
      }
      let found = try fields.required(names[0], texts)
      if found.isEmpty || found.count > Self.mostTexts {
        throw fields.wrong(names[0], "must hold 1 to \(Self.mostTexts) texts")
      }
      return found
    }
    var first = try side(["text_1", "queries"])
    var second = try side(["text_2", "documents"])
    if first.count == 1 { first = Array(repeating: first[0], count: second.count) }
    if second.count == 1 { second = Array(repeating: second[0], count: first.count) }
    if first.count != second.count {
      throw fields.wrong("text_2", "must have one text, or as many as 'text_1': \(first.count), not \(second.count)")
    }
    let cuts = try readTruncation(&fields)
    let asker = try readAsker(&fields, responder)
    try fields.finish()
    try compare(Array(zip(first, second)), cuts, asker, responder) { scores, tokens in
      let data = scores.enumerated().map { index, score -> JSONValue in
        ["index": .number(JSONNumber(index)), "object": "score", "score": .number(JSONNumber(score))]
      }
      return [
        "id": .string(self.newID("score")), "object": "list", "created": .number(JSONNumber(self.now)),
        "model": .string(self.name), "data": .array(data), "usage": Self.usage(tokens),
      ]
    }
  }

  func rerank(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkBaseModel(&fields)
    let query = try fields.required("query", fields.string("query"))
    let given = try fields.required("documents", fields.array("documents"))
    let documents = given.compactMap { $0.string ?? $0["text"]?.string }
    if documents.isEmpty || documents.count != given.count || documents.count > Self.mostTexts {
      throw fields.wrong("documents", "must hold 1 to \(Self.mostTexts) texts, or objects with a 'text'")
    }
    let top = try fields.integer("top_n", 0...(1 << 24)).flatMap { $0 > 0 ? $0 : nil } ?? documents.count
    let returns = try fields.flag("return_documents") ?? true
    let cuts = try readTruncation(&fields)
    let asker = try readAsker(&fields, responder)
    try fields.finish()
    try compare(documents.map { (query, $0) }, cuts, asker, responder) { scores, tokens in
      let order = scores.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }.prefix(top)
      let results = order.map { index -> JSONValue in
        var result = JSONObject([("index", .number(JSONNumber(index)))])
        if returns { result["document"] = ["text": .string(documents[index])] }
        result["relevance_score"] = .number(JSONNumber(scores[index]))
        return .object(result)
      }
      return [
        "id": .string(self.newID("rerank")), "model": .string(self.name), "usage": Self.usage(tokens),
        "results": .array(results),
      ]
    }
  }

  func classify(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let pooler = try pooler(.labels)
    var fields = try Fields(body: request.body)
    try checkBaseModel(&fields)
    let inputs = try inputs(&fields, "input")
    let cuts = try readTruncation(&fields)
    let asker = try readAsker(&fields, responder)
    try fields.finish()
    pool(inputs, as: .labels, cuts: cuts, "input", pooler, asker, responder) { rows, tokens in
      let data = rows.enumerated().map { index, row -> JSONValue in
        let best = row.indices.max { row[$0] < row[$1] }!
        return [
          "index": .number(JSONNumber(index)), "label": .string(pooler.labels[best]), "probs": Self.numbers(row),
          "num_classes": .number(JSONNumber(row.count)),
        ]
      }
      return [
        "id": .string(self.newID("classify")), "object": "list", "created": .number(JSONNumber(self.now)),
        "model": .string(self.name), "data": .array(data), "usage": Self.usage(tokens),
      ]
    }
  }

  // MARK: What they share

  private enum Input: Sendable {
    case text(String)
    case tokens([Int32])
    case pair(String, String)
  }

  /// A string, several, the tokens of one text, or of several.
  private func inputs(_ fields: inout Fields, _ name: String) throws(APIError) -> [Input] {
    let value = try fields.required(name, fields.value(name))
    var inputs: [Input]?
    if let one = value.string {
      inputs = [.text(one)]
    } else if let array = value.array {
      let strings = array.compactMap(\.string)
      let several = array.compactMap(\.tokens)
      if array.isEmpty {
        inputs = nil
      } else if strings.count == array.count {
        inputs = strings.map { .text($0) }
      } else if let one = value.tokens {
        inputs = [.tokens(one)]
      } else if several.count == array.count {
        inputs = several.map { .tokens($0) }
      }
    }
    guard let inputs, inputs.count <= Self.mostTexts else {
      throw fields.wrong(name, "must be a string, up to \(Self.mostTexts) strings, or token numbers")
    }
    return inputs
  }

  /// Whether what is too long is cut: any length but the model's own is refused.
  private func readTruncation(_ fields: inout Fields) throws(APIError) -> Bool {
    guard let given = try fields.integer("truncate_prompt_tokens", -1...(1 << 24)) else { return false }
    if given != -1 { throw fields.wrong("truncate_prompt_tokens", "must be -1, which is the model's own length") }
    return true
  }

  /// Who asks, and how urgently. Who brings a key is who it says, whatever else the request tells.
  private func readAsker(_ fields: inout Fields, _ responder: HTTPResponder) throws(APIError) -> PoolingEngine.Asker {
    let user = try fields.short("user") ?? ""
    let priority = try fields.integer("priority", -1000...1000) ?? 0
    if let error = responder.caller?.problem(withPriority: priority) { throw error }
    return PoolingEngine.Asker(tenant: responder.caller?.name ?? user, priority: priority)
  }

  /// Scores pairs: by a model that reads both, or by how much their vectors point the same way.
  private func compare(
    _ pairs: [(String, String)], _ cuts: Bool, _ asker: PoolingEngine.Asker, _ responder: HTTPResponder,
    _ reply: @escaping @Sendable ([Float], Int) throws(APIError) -> JSONValue
  ) throws(APIError) {
    if let pooler = try? pooler(.score) {
      let inputs = pairs.map { Input.pair($0.0, $0.1) }
      return pool(inputs, as: .score, cuts: true, "text_2", pooler, asker, responder) { rows, tokens throws(APIError) in
        try reply(rows.map { $0[0] }, tokens)
      }
    }
    let pooler = try pooler(.vector)
    // Each text once, however often it is compared.
    var places: [String: Int] = [:]
    var texts: [Input] = []
    for text in pairs.flatMap({ [$0.0, $0.1] }) where places[text] == nil {
      places[text] = texts.count
      texts.append(.text(text))
    }
    let indices = pairs.map { (places[$0.0]!, places[$0.1]!) }
    pool(texts, as: .vector, cuts: cuts, "text_2", pooler, asker, responder) { rows, tokens throws(APIError) in
      try reply(indices.map { Self.cosine(rows[$0.0], rows[$0.1]) }, tokens)
    }
  }

  /// Computes rows and replies with what is made of them and of how many tokens there were. Texts become tokens beside the
  /// thread that reads and writes for everybody.
  private func pool(
    _ inputs: [Input], as task: PoolingEngine.Task, cuts: Bool, _ name: String, _ pooler: any Pooler,
    _ asker: PoolingEngine.Asker, _ responder: HTTPResponder,
    _ reply: @escaping @Sendable ([[Float]], Int) throws(APIError) -> JSONValue
  ) {
    responder.aside { [self] in
      @Sendable func refuse(_ error: APIError) {
        metrics.count(error: error.kind.rawValue)
        responder.send(error.reply)
      }
      do throws(APIError) {
        let texts = try inputs.enumerated().map { (index, input) throws(APIError) in
          try tokens(input, cuts, "\(name)[\(index)]", pooler)
        }
        let count = texts.reduce(0) { $0 + $1.tokens.count }
        try responder.caller?.read(count)
        let cancel = pooler.pool(texts, as: task, for: asker) { outcome in
          do throws(APIError) {
            switch outcome {
            case .rows(let rows): responder.send(json: try reply(rows, count))
            case .refused(let refusal): throw APIError(refusal)
            case .failed(let message): throw APIError(.failed, message)
            }
          } catch {
            refuse(error)
          }
        }
        responder.whenGone(cancel)
      } catch {
        refuse(error)
      }
    }
  }

  private func tokens(
    _ input: Input, _ cuts: Bool, _ place: String, _ pooler: any Pooler
  ) throws(APIError) -> TokenizedText {
    let (text, isCut): (TokenizedText, Bool)
    switch input {
    case .pair(let first, let second): (text, isCut) = (pooler.pair(first, second), false)
    case .text(let string): (text, isCut) = pooler.tokenized(string)
    case .tokens(let tokens):
      let size = pooler.vocabulary
      if let bad = tokens.first(where: { $0 < 0 || Int($0) >= size }) {
        throw APIError(
          .badRequest, "'\(place)' holds the token \(bad); the vocabulary has \(size).", code: "invalid_value")
      }
      (text, isCut) = pooler.tokenized(tokens)
    }
    if text.tokens.isEmpty {
      throw APIError(.badRequest, "'\(place)' has no tokens.", parameter: place, code: "invalid_value")
    }
    if isCut && !cuts {
      throw APIError(
        .badRequest,
        "'\(place)' is longer than the \(pooler.limit) tokens that the model reads. Shorten it, or ask for "
          + "'truncate_prompt_tokens': -1 to leave out the rest.", parameter: place, code: "context_length_exceeded")
    }
    return text
  }

  // MARK: Vectors

  /// The first elements, brought to the length 1.
  private static func shortened(_ row: [Float], to count: Int) -> [Float] {
    let part = row.prefix(count)
    let length = part.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return part.map { $0 / max(length, 1e-12) }
  }

  private static func cosine(_ left: [Float], _ right: [Float]) -> Float {
    var (product, first, second) = (Float(0), Float(0), Float(0))
    for (left, right) in zip(left, right) {
      product += left * right
      first += left * left
      second += right * right
    }
    return product / max((first * second).squareRoot(), 1e-12)
  }

  private static func numbers(_ row: [Float]) -> JSONValue { .array(row.map { .number(JSONNumber($0)) }) }

  /// Little-endian floats in base64.
  private static func packed(_ row: [Float]) -> String {
    let bytes = row.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
    var text: [UInt8] = []
    Base64.append(bytes, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  private static func usage(_ tokens: Int) -> JSONValue {
    let tokens = JSONValue.number(JSONNumber(tokens))
    return ["prompt_tokens": tokens, "total_tokens": tokens]
  }
}
