// Random schemas that can be fulfilled, over all keywords that are supported.

import Core

struct RandomSchema {
  var random: RandomSequence
  /// Names under $defs that a schema may refer to.
  private let names = ["node", "leaf", "other"]

  init(seed: UInt64) { random = RandomSequence(seed: seed, stream: 0x736368656D61) }

  private mutating func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }
  private mutating func pick<T>(_ choices: [T]) -> T { choices[Int.random(in: 0..<choices.count, using: &random)] }

  /// A whole document.
  mutating func document() -> JSONValue {
    var definitions = JSONObject()
    for name in names { definitions[name] = name == "leaf" ? scalar() : object(depth: 2, refers: true) }
    var schema = self.schema(depth: 0, refers: true).object!
    schema["$defs"] = .object(definitions)
    schema["title"] = "random"
    return .object(schema)
  }

  private mutating func schema(depth: Int, refers: Bool) -> JSONValue {
    if depth >= 3 { return scalar() }
    switch Int.random(in: 0..<10, using: &random) {
    case 0...3: return object(depth: depth, refers: refers)
    case 4, 5: return array(depth: depth, refers: refers)
    case 6:
      var ways: [JSONValue] = []
      for _ in 0...Int.random(in: 0...2, using: &random) { ways.append(schema(depth: depth + 1, refers: refers)) }
      return [pick(["anyOf", "oneOf"]): .array(ways)]
    case 7 where refers: return ["$ref": .string("#/$defs/" + pick(names))]
    case 8: return conjunction(depth: depth, refers: refers)
    default: return scalar()
    }
  }

  private mutating func conjunction(depth: Int, refers: Bool) -> JSONValue {
    let low = Int.random(in: -50...50, using: &random)
    switch Int.random(in: 0..<3, using: &random) {
    case 0:
      return [
        "allOf": [
          ["type": "integer", "minimum": .number(JSONNumber(low))], ["maximum": .number(JSONNumber(low + 40))],
        ]
      ]
    case 1:
      return [
        "allOf": [
          object(depth: depth + 1, refers: refers), ["properties": ["extra": scalar()], "required": ["extra"]],
        ]
      ]
    default:
      return [
        "type": "object", "properties": ["kind": ["type": "string"]], "required": ["kind"],
        "anyOf": [
          ["properties": ["kind": ["const": "a"], "x": scalar()], "required": ["x"]],
          ["properties": ["kind": ["enum": ["b", "c"]]]],
        ],
      ]
    }
  }

  private mutating func object(depth: Int, refers: Bool) -> JSONValue {
    var properties = JSONObject()
    var required: [JSONValue] = []
    for name in ["name", "a", "value", "ä\"\\", "id", "items"].shuffled(using: &random).prefix(
      Int.random(in: 0...4, using: &random))
    {
      // What is required must not need itself: only optional members refer.
      let isRequired = chance(2)
      properties[name] = schema(depth: depth + 1, refers: refers && !isRequired)
      if isRequired { required.append(.string(name)) }
    }
    var schema = JSONObject([("type", "object")])
    if !properties.isEmpty || chance(2) { schema["properties"] = .object(properties) }
    if !required.isEmpty { schema["required"] = .array(required) }
    if chance(4) {
      schema["additionalProperties"] = scalar()
    } else if chance(2) {
      schema["additionalProperties"] = false
    }
    if chance(6) { schema["patternProperties"] = ["^x_[a-z]+$": scalar()] }
    if chance(8) { schema["maxProperties"] = .number(JSONNumber(properties.count + 2)) }
    return .object(schema)
  }

  private mutating func array(depth: Int, refers: Bool) -> JSONValue {
    var schema = JSONObject([("type", "array")])
    let least = Int.random(in: 0...3, using: &random)
    if chance(3) {
      schema["prefixItems"] = [self.schema(depth: depth + 1, refers: false), scalar()]
      schema["items"] = chance(2) ? false : scalar()
      if chance(2) { schema["minItems"] = .number(JSONNumber(min(least, 2))) }
      return .object(schema)
    }
    schema["items"] = self.schema(depth: depth + 1, refers: refers && least == 0)
    if least > 0 { schema["minItems"] = .number(JSONNumber(least)) }
    if chance(2) { schema["maxItems"] = .number(JSONNumber(least + Int.random(in: 0...30, using: &random))) }
    return .object(schema)
  }

  private mutating func scalar() -> JSONValue {
    switch Int.random(in: 0..<9, using: &random) {
    case 0: return ["type": "boolean"]
    case 1: return ["enum": ["red", 1, nil, ["x": [1.5, "ü\n"]], "blue \" \\"]]
    case 2: return ["const": .string(pick(["", "é", "abc"]))]
    case 3: return number(isInteger: true)
    case 4: return number(isInteger: false)
    case 5:
      return ["type": ["string", "null"], "maxLength": .number(JSONNumber(Int.random(in: 0...70, using: &random)))]
    case 6:
      let least = Int.random(in: 0...12, using: &random)
      let more = Int.random(in: 0...300, using: &random)
      return [
        "type": "string", "minLength": .number(JSONNumber(least)), "maxLength": .number(JSONNumber(least + more)),
      ]
    case 7:
      let pattern = pick(["^[a-z]{2,5}$", "a.b", "^(foo|bar)+", "[0-9]$", #"^\w+@\w+\.com$"#, "^[^\"]*\\\\$", "x"])
      if chance(2) { return ["type": "string", "pattern": .string(pattern)] }
      return [
        "type": "string", "pattern": .string(pattern),
        "maxLength": .number(JSONNumber(Int.random(in: 7...15, using: &random))),
      ]
    default: return ["type": "null"]
    }
  }

  private mutating func number(isInteger: Bool) -> JSONValue {
    var schema = JSONObject([("type", .string(isInteger ? "integer" : "number"))])
    let scale = pick([1.0, 10, 1000, 1e6])
    var limits = [Double.random(in: -scale...scale, using: &random), Double.random(in: -scale...scale, using: &random)]
      .sorted()
    limits = limits.map { isInteger || chance(3) ? $0.rounded() : ($0 * 100).rounded() / 100 }
    if chance(2) { schema[pick(["minimum", "exclusiveMinimum"])] = .number(JSONNumber(limits[0])) }
    if chance(2) { schema[pick(["maximum", "exclusiveMaximum"])] = .number(JSONNumber(limits[1] + 2)) }
    if isInteger, chance(5), limits[1] - limits[0] > 100 {
      schema["multipleOf"] = .number(JSONNumber(pick([2, 5, 10, 25, 100])))
    }
    return .object(schema)
  }
}
