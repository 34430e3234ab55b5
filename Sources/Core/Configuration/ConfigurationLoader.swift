// Where a configuration comes from and goes to: default < file < override, and back to a file.
//
// Invariant: a configuration is either loaded whole and valid, or refused with every problem that it has.

internal import FoundationEssentials

/// A configuration that cannot be used.
public struct ConfigurationError: CodedError {
  public enum Code: Sendable { case cannotRead, syntax, malformedOverride, invalid }

  public let code: Code
  public let message: String
  public let cause: (any Error)?
  /// The problems of the settings, for `invalid`.
  public let problems: [ConfigurationProblem]

  init(_ code: Code, _ message: String, cause: (any Error)? = nil, problems: [ConfigurationProblem] = []) {
    self.code = code
    self.message = message
    self.cause = cause
    self.problems = problems
  }

  package init(problems: [ConfigurationProblem]) {
    let count = problems.count == 1 ? "a problem" : "\(problems.count) problems"
    self.init(
      .invalid, "The configuration has \(count):" + problems.map { "\n  \($0)" }.joined(), problems: problems)
  }
}

/// Loads and writes configurations.
public enum ConfigurationLoader {
  /// The configuration that `defaults`, a JSON5 file and overrides give together.
  ///
  /// - Parameters:
  ///   - file: the path of a JSON5 file that may set any part of the configuration.
  ///   - overrides: settings as `optimizer.sgd.momentum=0.9`; values are JSON5, and text needs no quotes.
  ///   - defaults: what holds where nothing else is said.
  public static func load<T: Configuration>(
    _ type: T.Type = T.self, file: String? = nil, overrides: [String] = [], defaults: T = T()
  ) throws(ConfigurationError) -> T {
    guard let file else { return try load(text: nil, name: "", overrides: overrides, defaults: defaults) }
    let data: Data
    do {
      data = try Data(contentsOf: URL(filePath: file))
    } catch {
      let code = ((error as? CocoaError)?.userInfo["NSUnderlyingError"] as? POSIXError)?.code.rawValue ?? EIO
      let reason = FileError(cannot: "read", path: file, errorNumber: code)
      throw ConfigurationError(.cannotRead, reason.message)
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw ConfigurationError(.syntax, "The configuration file \(file) is not UTF-8 text. Save it as UTF-8.")
    }
    return try load(text: text, name: file, overrides: overrides, defaults: defaults)
  }

  /// The configuration that `defaults`, a JSON5 text and overrides give together.
  ///
  /// - Parameter name: what to call the text in messages.
  public static func load<T: Configuration>(
    _ type: T.Type = T.self, text: String?, name: String, overrides: [String] = [], defaults: T = T()
  ) throws(ConfigurationError) -> T {
    var layers = ConfigurationLayers([.init(value: tree(of: defaults).value, source: nil)])
    if let text {
      do {
        layers.append(try JSONValue(parsing: text, as: .json5), source: name)
      } catch {
        throw ConfigurationError(.syntax, "\(name) is not JSON5. \(error)")
      }
    }
    for override in overrides {
      layers.append(try parse(override: override), source: "--set \(override)")
    }
    let report = ConfigurationReport()
    let result = try? ConfigurationDecoding.decode(T.self, layers, ConfigurationPath(), report)
    if let result {
      let known = Set(report.problems.map(\.path))
      report.problems += tree(of: result).problems.filter { !known.contains($0.path) }
    }
    guard let result, report.problems.isEmpty else { throw ConfigurationError(problems: report.problems) }
    return result
  }

  /// The resolved configuration as JSON5, in the order of its declarations.
  public static func encode(_ configuration: some Configuration) -> String {
    tree(of: configuration).value.json5
  }

  /// The resolved configuration as a tree.
  public static func json(_ configuration: some Configuration) -> JSONValue { tree(of: configuration).value }

  /// What is wrong with a configuration that was made in code, nested ones included.
  public static func problems(in configuration: some Configuration) -> [ConfigurationProblem] {
    tree(of: configuration).problems
  }

  static func tree(of value: some Encodable) -> (value: JSONValue, problems: [ConfigurationProblem]) {
    let node = ConfigurationNode()
    let report = ConfigurationReport()
    ConfigurationEncoding.encode(value, into: node, ConfigurationPath(), report)
    return (node.json, report.problems)
  }

  /// `a.b=1` as `{ a: { b: 1 } }`.
  private static func parse(override: String) throws(ConfigurationError) -> JSONValue {
    guard let mark = override.firstIndex(of: "=") else {
      throw ConfigurationError(
        .malformedOverride,
        "The override \"\(override)\" has no value. Write path=value, as in optimizer.sgd.momentum=0.9.")
    }
    let path = override[..<mark].split(separator: ".", omittingEmptySubsequences: false)
      .map { String($0.filter { !$0.isWhitespace }) }
    guard path.allSatisfy({ !$0.isEmpty }) else {
      throw ConfigurationError(
        .malformedOverride,
        "The override \"\(override)\" has no proper path. Write path=value, as in optimizer.sgd.momentum=0.9.")
    }
    let text = String(override[override.index(after: mark)...])
    var value: JSONValue
    do {
      value = try JSONValue(parsing: text, as: .json5)
    } catch {
      // A structure that is not closed is a mistake; anything else is text.
      let first = text.first { !$0.isWhitespace }
      if let first, "{[\"'".contains(first) {
        throw ConfigurationError(
          .malformedOverride, "The value of the override \"\(override)\" is not JSON5. \(error)")
      }
      value = .string(text)
    }
    for key in path.reversed() { value = .object(JSONObject([(key, value)])) }
    return value
  }
}
