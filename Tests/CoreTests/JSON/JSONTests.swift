// Reading and writing JSON and JSON5.

internal import Core
internal import Testing

@Suite struct JSONTests {
  @Test func json5IsRead() throws {
    let text = """
      // A comment.
      {
        name: 'gpt', "two words": "a\\u00e9\\ud83d\\ude00\\n", $x_1: 0xFF, /* inner */ half: .5, whole: 5.,
        plus: +1e3, nothing: null, list: [1, 2, 3,], flag: true, nan: NaN, low: -Infinity, multi: 'a\\
      b', nested: { deep: [ { } , [ ] ] },
      }
      """
    let value = try JSONValue(parsing: text, as: .json5)
    #expect(value["name"] == "gpt")
    #expect(value["two words"] == "aé😀\n")
    #expect(value["$x_1"]?.integer == 255)
    #expect(value["half"]?.double == 0.5)
    #expect(value["whole"]?.integer == 5)
    #expect(value["plus"]?.integer == 1000)
    #expect(value["nothing"] == .null)
    #expect(value["list"] == [1, 2, 3])
    #expect(value["nan"]?.double?.isNaN == true)
    #expect(value["low"]?.double == -.infinity)
    #expect(value["multi"] == "ab")
    #expect(value["nested"] == ["deep": [[:], []]])
    #expect(value.object?.keys.prefix(3) == ["name", "two words", "$x_1"])
    #expect(try JSONValue(parsing: value.json5, as: .json5).object?.keys == value.object?.keys)
  }

  private static let offences: [(String, Int, Int, String)] = [
    ("{\n  a: 1\n  b: 2 }", 3, 3, "expected ',' or '}'"),
    ("{ a: [1, 2 }", 1, 12, "expected ',' or ']'"),
    ("{ a: 1, a: 2 }", 1, 9, "stands twice"),
    ("{ a: adamw }", 1, 6, "put text in quotes"),
    ("", 1, 1, "the end of the text"),
    ("{ a 1 }", 1, 5, "expected ':'"),
    ("\"abc", 1, 1, "not closed"),
    ("'\\q'", 1, 3, "no escape"),
    ("'\\ud83d'", 1, 4, "surrogate"),
    ("12x", 1, 1, "not a number"),
    ("01", 1, 1, "does not begin with 0"),
    ("[1] 2", 1, 5, "after the end"),
    ("/* x", 1, 1, "comment is not closed"),
    ("0x", 1, 1, "hexadecimal"),
    ("\"a\u{1}b\"", 1, 3, "within a string"),
    (String(repeating: "[", count: 1000), 1, 202, "deep"),
  ]

  @Test(arguments: offences)
  func offencesAreLocated(text: String, line: Int, column: Int, problem: String) throws {
    let error = try #require(throws: JSONError.self) { try JSONValue(parsing: text, as: .json5) }
    #expect(error.line == line)
    #expect(error.column == column)
    #expect(error.problem.contains(problem), "\(error)")
  }

  @Test(arguments: ["{a: 1}", "[1,]", "{\"a\":1,}", "// x\n1", "'a'", ".5", "5.", "+1", "0x1", "NaN", "\"a\tb\""])
  func strictJSONRefusesExtensions(text: String) {
    #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(throws: Never.self) { try JSONValue(parsing: text, as: .json5) }
  }

  @Test func bytesThatAreNotUTF8() {
    let bytes: [UInt8] = [0x22, 0xFF, 0x22]
    #expect(throws: JSONError.self) { try bytes.withUnsafeBytes { try JSONValue(parsing: $0) } }
  }

  @Test func numbersRoundTrip() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = RandomSequence(seed: seed)
    for _ in 0..<2000 {
      let double = Double(bitPattern: random.next())
      let float = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
      let integer = Int(truncatingIfNeeded: random.next())
      let written = JSONValue.array([
        .number(JSONNumber(double)), .number(JSONNumber(float)), .number(JSONNumber(integer)),
      ])
      let read = try #require(JSONValue(parsing: written.json5, as: .json5).array)
      #expect(read[0].double == double || double.isNaN, "seed \(seed)")
      guard case .number(let number) = read[1] else { continue }
      #expect(number.float == float || float.isNaN, "seed \(seed)")
      #expect(read[2].integer == integer, "seed \(seed)")
      #expect(throws: Never.self, "seed \(seed)") { try JSONValue(parsing: written.json) }
    }
    #expect(JSONValue.number(JSONNumber(UInt64.max)).json == "18446744073709551615")
    #expect(JSONNumber(UInt64.max).integer(UInt64.self) == .max)
    #expect(JSONNumber(UInt64.max).integer(Int.self) == nil)
    #expect(
      JSONValue.array([.number(JSONNumber(Double.nan)), .number(JSONNumber(-Double.infinity))]).json == "[null,null]")
    #expect(JSONValue.number(JSONNumber(3.0)).json == "3")
    #expect(JSONValue.number(JSONNumber(Float(0.1))).json == "0.1")
  }

  @Test func writing() throws {
    let value: JSONValue = ["a": [1, 2.5], "b c": ["d": "q\"\u{1}\u{2028}é"], "e": [:], "f": nil, "g": [["h": true]]]
    #expect(value.json == #"{"a":[1,2.5],"b c":{"d":"q\"\u0001\u2028é"},"e":{},"f":null,"g":[{"h":true}]}"#)
    #expect(try JSONValue(parsing: value.json) == value)
    #expect(
      value.json5 == """
        {
          a: [1, 2.5],
          "b c": {
            d: "q\\"\\u0001\\u2028é",
          },
          e: {},
          f: null,
          g: [
            {
              h: true,
            },
          ],
        }

        """)
    #expect(try JSONValue(parsing: value.json5, as: .json5) == value)
    // Numbers that only JSON5 has become plain ones.
    #expect(try JSONValue(parsing: "[0xFF, .5, +2, 5.]", as: .json5).json == "[255,0.5,2,5]")
  }

  @Test func objectsKeepTheirOrder() {
    var object = JSONObject([("z", 1), ("a", 2), ("m", 3)])
    object["a"] = nil
    object["b"] = 4
    object["z"] = 5
    #expect(object.keys == ["z", "m", "b"])
    #expect(object["m"] == 3 && object["b"] == 4 && object["z"] == 5 && object["a"] == nil)
    #expect(object == JSONObject([("b", 4), ("m", 3), ("z", 5)]))
  }
}
