public import ArgumentParser
import FoundationEssentials
public import Formats
public import Inference
public import Models
public import Networks

// Choices of the libraries as values of options.

extension Pooling: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}
extension WeightPrecision: ExpressibleByArgument {}
extension SpeculationMethod: ExpressibleByArgument {}
extension SplitRule: ExpressibleByArgument {}

extension String {
  /// A path without the slashes at its end, so that names can be made of it.
  var withoutTrailingSlashes: String {
    let end = lastIndex { $0 != "/" } ?? startIndex
    return isEmpty ? self : String(self[...end])
  }
}

/// The text of a file that an option names.
func textFile(_ path: String, _ option: String) throws -> String {
  guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
    throw CommandError("\(option): there is no file '\(path)' that can be read as text.")
  }
  return text
}

/// The key in a file that an option names.
func secret(_ path: String, _ option: String) throws -> String {
  let key = try textFile(path, option).filter { !$0.isWhitespace }
  if key.isEmpty { throw CommandError("\(option): '\(path)' is empty; write the key into it.") }
  return key
}
