public import ArgumentParser
import FoundationEssentials
public import Formats
public import Models
public import Networks

// Choices of the libraries as values of options.

extension Pooling: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}
extension WeightPrecision: ExpressibleByArgument {}
extension SplitRule: ExpressibleByArgument {}

/// The text of a file that an option names.
func textFile(_ path: String, _ option: String) throws -> String {
  guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
    throw CommandError("\(option): there is no file '\(path)' that can be read as text.")
  }
  return text
}
