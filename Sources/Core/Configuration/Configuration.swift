// Typed configuration: nested structs with defaults in their declarations, and enums where there is a choice.
//
//     struct TrainConfiguration: Configuration {
//       var steps = 1000
//       var optimizer = Optimizer.adamw(.init())
//
//       func problems() -> [ConfigurationProblem] {
//         check(steps > 0, "steps", steps, "must be positive")
//       }
//     }
//     enum Optimizer: ConfigurationChoice {
//       case adamw(AdamW), sgd(SGD), none
//       static let choices: [Self] = [.adamw(.init()), .sgd(.init()), .none]
//     }
//
// On disk and on the command line a choice is its name, or its name with settings, all of which have defaults:
//
//     { steps: 500, optimizer: "sgd" }
//     { optimizer: { sgd: { momentum: 0.9 } } }
//     --set optimizer=sgd      --set optimizer.sgd.momentum=0.9
//
// The name may be left out to reach the settings of the choice in force: `--set optimizer.momentum=0.9`. Enums without
// payload are `String, CaseIterable, Codable`, as usual in Swift.
//
// Invariant: `init()` gives a valid configuration, and every value of it can be written and read back.

/// A group of settings.
public protocol Configuration: Codable, Sendable, Equatable {
  /// The defaults.
  init()

  /// What is wrong with these settings, beyond what their types say. Nested configurations are asked by themselves.
  @ConfigurationChecks func problems() -> [ConfigurationProblem]
}

extension Configuration {
  public func problems() -> [ConfigurationProblem] { [] }

  /// A problem unless `condition` holds: `check(heads > 0, "heads", heads, "must be positive")`.
  ///
  /// - Parameters:
  ///   - key: the key of the setting in this group.
  ///   - requirement: what the value must be, to be read after the value, as in "must be a divisor of 384".
  public func check(
    _ condition: Bool, _ key: @autoclosure () -> String, _ value: @autoclosure () -> some CustomStringConvertible,
    _ requirement: @autoclosure () -> String
  ) -> ConfigurationProblem? {
    condition ? nil : ConfigurationProblem(path: key(), value: value().description, problem: requirement())
  }
}

/// Settings of which one kind is chosen. The synthesized `Codable` of an enum with payloads is all it needs: at most one
/// payload without a label (a `Configuration`, or a plain value), or any number with labels.
public protocol ConfigurationChoice: Codable, Sendable, Equatable {
  /// One value of each case with its defaults, in the order in which to name them.
  static var choices: [Self] { get }
}

/// Something that is wrong with a configuration.
public struct ConfigurationProblem: Sendable, Equatable, CustomStringConvertible {
  /// Where: `optimizer.adamw.learningRate`.
  public var path: String
  /// The offending value, as JSON5; nil where it is the key that is wrong.
  public var value: String?
  /// What is wrong and what is allowed.
  public var problem: String
  /// Where the value came from: a file, or an override; nil for a default or a computed value.
  public var source: String?

  public init(path: String, value: String?, problem: String, source: String? = nil) {
    self.path = path
    self.value = value
    self.problem = problem
    self.source = source
  }

  public var description: String {
    "\(path)\(value.map { " = \($0)" } ?? "")\(source.map { " (\($0))" } ?? ""): \(problem)"
  }
}

/// Collects the results of `check` into a list.
@resultBuilder
public enum ConfigurationChecks {
  public static func buildExpression(_ problem: ConfigurationProblem?) -> [ConfigurationProblem] {
    problem.map { [$0] } ?? []
  }
  public static func buildExpression(_ problems: [ConfigurationProblem]) -> [ConfigurationProblem] { problems }
  public static func buildBlock(_ problems: [ConfigurationProblem]...) -> [ConfigurationProblem] {
    problems.flatMap { $0 }
  }
  public static func buildOptional(_ problems: [ConfigurationProblem]?) -> [ConfigurationProblem] { problems ?? [] }
  public static func buildEither(first problems: [ConfigurationProblem]) -> [ConfigurationProblem] { problems }
  public static func buildEither(second problems: [ConfigurationProblem]) -> [ConfigurationProblem] { problems }
  public static func buildArray(_ problems: [[ConfigurationProblem]]) -> [ConfigurationProblem] {
    problems.flatMap { $0 }
  }
}
