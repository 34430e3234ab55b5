// The settings that are one value: what each accepts from a file, and how messages describe it.
//
// Invariant: numbers are converted exactly or refused; only floating-point settings round.

/// The types that are one JSON value.
enum ScalarKind {
  case bool, string, double, float
  case integer(any FixedWidthInteger.Type)

  init?(_ type: Any.Type) {
    switch type {
    case is Bool.Type: self = .bool
    case is String.Type: self = .string
    case is Double.Type: self = .double
    case is Float.Type: self = .float
    case let type as any FixedWidthInteger.Type: self = .integer(type)
    default: return nil
    }
  }

  var expected: String {
    func range<T: FixedWidthInteger>(_ type: T.Type) -> String { "an integer in \(T.min)...\(T.max)" }
    return switch self {
    case .bool: "true or false"
    case .string: "a string"
    case .double, .float: "a number"
    case .integer(let type): type == Int.self ? "an integer" : range(type)
    }
  }

  func read(_ layer: ConfigurationLayers.Layer) -> Any? {
    func integer<T: FixedWidthInteger>(_ number: JSONNumber, _ type: T.Type) -> T? { number.integer(type) }
    switch (self, layer.value) {
    case (.bool, .bool(let value)): return value
    case (.string, .string(let value)): return value
    // Text needs no quotes on a command line, also where it looks like something else.
    case (.string, .number(let value)) where layer.source?.hasPrefix("--set ") == true: return value.text
    case (.string, .bool(let value)) where layer.source?.hasPrefix("--set ") == true: return String(value)
    case (.double, .number(let value)): return value.double
    case (.float, .number(let value)): return value.float
    case (.integer(let type), .number(let value)): return integer(value, type)
    default: return nil
    }
  }
}
