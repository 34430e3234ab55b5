// Texts written under schemas by chance always parse and fulfil the schema; hand-written schemas accept and refuse what they should.

import Core
import Inference
import Support
import Testing

@Suite struct JSONSchemaTests {
  typealias Tools = GrammarTesting

  @Test(arguments: 0..<10)
  func thousandSchemas(tenth: Int) throws {
    let seed = RandomCase.seed &+ UInt64(1000 * tenth)
    var random = RandomSequence(seed: seed)
    var (written, unfinished) = (0, 0)
    for index in 0..<100 {
      var source = RandomSchema(seed: seed &+ UInt64(index))
      let schema = source.document()
      let note: Comment = "seed \(seed) + \(index): \(schema.json)"
      let masks: GrammarMasks
      do {
        masks = try Tools.masks(Grammar(jsonSchema: schema, whitespace: index % 2 == 0 ? .flexible : .none))
      } catch let error as GrammarError where error.code != .syntax {
        // Parts that were put together by chance may exclude each other, be an `enum` with other conditions, or be too much.
        continue
      }
      for _ in 0..<2 {
        guard let bytes = try Tools.text(masks, using: &random) else {
          unfinished += 1
          continue
        }
        written += 1
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(Array(text.utf8) == bytes, "not UTF-8; \(note)")
        do {
          let value = try JSONValue(parsing: text)
          let problem = try SchemaCheck(root: schema).problem(value, schema)
          #expect(problem == nil, "\(text); \(note)")
        } catch let error as JSONError where error.code == .duplicateKey {
          // Members that no property names may come twice, as JSON allows.
        }
      }
    }
    #expect(written > 150 && unfinished < 20, "\(written) texts, \(unfinished) without an end, seed \(seed)")
  }

  /// Schemas as they are sent to servers, with texts that fulfil them and texts that do not.
  static let real: [(schema: String, good: [String], bad: [String])] = [
    (
      #"{"type":"object","properties":{"location":{"type":"string","description":"City"},"unit":{"type":"string","enum":["celsius","fahrenheit"]}},"required":["location"],"additionalProperties":false}"#,
      [#"{"location":"Köln"}"#, #"{"location": "a\"b", "unit": "celsius"}"#, "{\n  \"location\": \"\"\n}"],
      [
        "{}", #"{"unit":"celsius"}"#, #"{"location":"x","unit":"kelvin"}"#, #"{"location":"x","y":1}"#,
        #"{"location":"x",}"#,
      ]
    ),
    (
      ##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":{"Step":{"type":"object","properties":{"explanation":{"type":"string"},"output":{"type":"string"}},"required":["explanation","output"],"additionalProperties":false}},"type":"object","properties":{"steps":{"type":"array","items":{"$ref":"#/$defs/Step"}},"final_answer":{"type":"string"}},"required":["steps","final_answer"],"additionalProperties":false}"##,
      [
        #"{"steps":[],"final_answer":"x"}"#,
        #"{"steps":[{"explanation":"a","output":"b"},{"explanation":"a","output":"b"}],"final_answer":"x"}"#,
      ],
      [#"{"steps":[{"explanation":"a"}],"final_answer":"x"}"#, #"{"final_answer":"x","steps":[]}"#]
    ),
    (
      ##"{"type":"object","properties":{"value":{"type":"number"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["value","next"],"additionalProperties":false}"##,
      [#"{"value":1,"next":{"value":-2.5e3,"next":null}}"#], [#"{"value":1,"next":{}}"#, #"{"value":01,"next":null}"#]
    ),
    (
      #"{"type":"object","properties":{"id":{"type":"string","format":"uuid"},"at":{"type":"string","format":"date-time"},"ip":{"anyOf":[{"format":"ipv4"},{"format":"ipv6"}]},"mail":{"type":"string","format":"email"}},"additionalProperties":false}"#,
      [
        #"{"id":"123e4567-e89b-12d3-a456-426614174000"}"#, #"{"at":"2024-02-28T23:59:59.123Z"}"#,
        #"{"ip":"192.168.0.255"}"#,
        #"{"ip":"fe80::1"}"#, #"{"ip":"::"}"#, #"{"mail":"a.b+c@ex-ample.co.uk"}"#, "{}",
      ],
      [
        #"{"id":"123"}"#, #"{"at":"2024-13-01T00:00:00Z"}"#, #"{"at":"2024-02-30T00:00:00Z"}"#, #"{"ip":"256.1.1.1"}"#,
        #"{"ip":"1::2::3"}"#, #"{"mail":"a@b"}"#,
      ]
    ),
    (
      #"{"type":"integer","minimum":-12,"exclusiveMaximum":1005}"#, ["-12", "-9", "0", "7", "99", "1004", "1000"],
      ["-13", "1005", "1010", "-0", "1.0", "007", "9999"]
    ),
    (
      #"{"type":"number","exclusiveMinimum":-0.25,"maximum":12.5}"#,
      ["-0.2", "-0.249", "0", "0.0", "12.5", "12.500", "12.49", "9.99", "3"],
      ["-0.25", "-0.250", "-0.3", "12.51", "13", "12.5001", "100", "-1"]
    ),
    (#"{"type":"integer","multipleOf":25,"minimum":0}"#, ["0", "25", "100", "1075"], ["5", "24", "1010"]),
    (
      #"{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"boolean"},"minItems":1,"maxItems":4}"#,
      ["[1]", #"[1,"a"]"#, #"[1,"a",true,false]"#], ["[]", #"["a"]"#, #"[1,true]"#, #"[1,"a",true,false,true]"#]
    ),
    (
      #"{"type":"object","patternProperties":{"^x-":{"type":"integer"}},"properties":{"x-name":{"minimum":3},"y":true},"additionalProperties":{"type":"null"}}"#,
      [#"{"x-name":4,"y":[],"x-b":1,"z":null}"#, "{}"],
      [#"{"x-name":2}"#, #"{"x-b":null}"#, #"{"z":1}"#, #"{"y":1,"y":2}"#]
    ),
    (
      #"{"type":"object","additionalProperties":{"type":"array","items":{"type":"number"}},"minProperties":1,"maxProperties":2}"#,
      [#"{"a":[1.5]}"#, #"{"a":[],"b":[2]}"#], ["{}", #"{"a":1}"#, #"{"a":[],"b":[],"c":[]}"#]
    ),
    (
      #"{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":5},"b":{"type":"string","minLength":1}},"required":["b"]}]}"#,
      [#"{"a":5,"b":"x"}"#], [#"{"a":4,"b":"x"}"#, #"{"a":5,"b":""}"#, #"{"a":5}"#]
    ),
    (
      #"{"type":"string","pattern":"^[A-Z]{2}-[0-9]+$","maxLength":6}"#, [#""AB-1""#, #""AB-123""#],
      [#""AB-1234""#, #""AB-""#, #""ab-1""#]
    ),
    (
      #"{"type":["string","null"],"nullable":true,"maxLength":2}"#, ["null", #""ab""#, #""ä\n""#, #""\u00e4\"""#],
      [#""abc""#, "1"]
    ),
    (
      #"{"const":{"a":[1,null,"x"]}}"#, [#"{"a":[1,null,"x"]}"#, #"{ "a": [1, null, "x"] }"#],
      ["{}", #"{"a":[1,null]}"#]
    ),
    ("true", ["1", "[]", #"{"a":{"b":[null]}}"#, #""x""#], ["", "{", "tru", #"{"a"}"#, "01"]),
    (#"{"minLength":2,"minimum":3}"#, [#""ab""#, "3.5"], [#""a""#, "2", "[]"]),
  ]

  @Test(arguments: 0..<real.count)
  func schemasAsTheyAreSent(index: Int) throws {
    let (schema, good, bad) = Self.real[index]
    let masks = try Tools.masks(Grammar(jsonSchema: schema))
    for text in good { #expect(Tools.accepts(masks, text), "\(schema) refuses \(text)") }
    for text in bad { #expect(!Tools.accepts(masks, text), "\(schema) accepts \(text)") }
  }

  @Test func numbersWithinLimitsAreExact() throws {
    let seed = RandomCase.seed
    var random = RandomSequence(seed: seed)
    for _ in 0..<40 {
      let low = Int.random(in: -300...299, using: &random)
      let limits = [low, Int.random(in: (low + 1)...300, using: &random)]
      let integers = try Tools.masks(
        Grammar(jsonSchema: #"{"type":"integer","minimum":\#(limits[0]),"maximum":\#(limits[1])}"#))
      for value in -320...320 {
        #expect(Tools.accepts(integers, "\(value)") == (limits[0]...limits[1]).contains(value), "\(value) in \(limits)")
      }
      let tenths = try Tools.masks(
        Grammar(
          jsonSchema:
            #"{"type":"number","exclusiveMinimum":\#(Double(limits[0]) / 10),"maximum":\#(Double(limits[1]) / 10)}"#))
      for value in -320...320 {
        let text = "\(value < 0 ? "-" : "")\(abs(value) / 10).\(abs(value) % 10)"
        if text == "0.0" { continue }
        #expect(Tools.accepts(tenths, text) == (limits[0] < value && value <= limits[1]), "\(text) in \(limits) tenths")
      }
    }
  }

  @Test func whitespace() throws {
    let schema = #"{"type":"object","properties":{"a":{"type":"array","items":{"type":"integer"}}},"required":["a"]}"#
    let compact = try Tools.masks(Grammar(jsonSchema: schema, whitespace: .none))
    let flexible = try Tools.masks(Grammar(jsonSchema: schema))
    for text in ["{\"a\": [1]}", "{ \"a\":[1,\n\t\t2 ]\n}"] {
      #expect(!Tools.accepts(compact, text) && Tools.accepts(flexible, text))
    }
    #expect(Tools.accepts(compact, "{\"a\":[1,2]}"))
    // No model can fill its context with spaces.
    #expect(!Tools.accepts(flexible, "{" + String(repeating: " ", count: 50) + "\"a\":[]}"))
    #expect(!Tools.accepts(flexible, " {\"a\":[]}"))
  }

  @Test func whatIsNotSupportedIsNamedWithItsPlace() throws {
    for (schema, parts) in [
      (#"{"type":"object","properties":{"a":{"not":{}}}}"#, ["not", "#/properties/a"]),
      (#"{"if":{},"then":{}}"#, ["if"]), (#"{"type":"array","uniqueItems":true}"#, ["uniqueItems"]),
      (#"{"items":{"contains":{}}}"#, ["contains", "#/items"]), (#"{"$ref":"https://x.y/z"}"#, ["$defs"]),
      (##"{"$ref":"#/$defs/none"}"##, ["#/$defs/none"]), (#"{"type":"strin"}"#, ["strin"]),
      (#"{"type":"string","maxLength":-1}"#, ["maxLength"]),
      (#"{"type":"string","pattern":"(?=a)"}"#, ["look-ahead", "#"]), (#"{"properties":[]}"#, ["properties"]),
      ("[1]", ["a schema is"]),
      ("{", ["not JSON"]), (#"{"type":"number","multipleOf":0.3}"#, ["multipleOf"]),
      (#"{"enum":["a"],"minLength":1}"#, ["minLength"]),
      (#"{"type":"object","minProperties":3}"#, ["minProperties"]),
      (#"{"unevaluatedProperties":{"type":"string"}}"#, ["unevaluatedProperties"]),
    ] {
      let error = #expect(throws: GrammarError.self, "\(schema)") { _ = try Grammar(jsonSchema: schema) }
      for part in parts { #expect(error?.message.contains(part) == true, "\(schema): \(error?.message ?? "")") }
    }
    #expect(try !Grammar(jsonSchema: #"{"oneOf":[{"type":"string"},{"type":"null"}]}"#).notices.isEmpty)
    #expect(try !Grammar(jsonSchema: #"{"type":"string","format":"color"}"#).notices.isEmpty)
  }
}
