// The checkpoints of a run: which there are, which is the newest that can be believed, which may go.

internal import Core
import FoundationEssentials

/// The folder `checkpoints` of a run.
package struct CheckpointFolder: Sendable {
  package let path: String

  package init(run: String) { path = run + "/checkpoints" }

  /// Where the checkpoint of a step stands.
  package func path(step: Int) -> String {
    let digits = String(step)
    return "\(path)/step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
  }

  /// All finished checkpoints, oldest first.
  package var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.filter { $0.hasPrefix("step-") }.compactMap { Int($0.dropFirst(5)) }.sorted()
  }

  /// The newest checkpoint whose files are as they were written.
  ///
  /// - Parameter warn: told of each that is not and is passed over.
  package func newest(warn: (String) -> Void) -> (step: Int, path: String)? {
    for step in steps.reversed() {
      let path = path(step: step)
      do {
        try Checkpoint.verify(path)
        return (step, path)
      } catch {
        warn("\((error as? TrainingError)?.message ?? "\(error)") It is passed over for the one before it.")
      }
    }
    return nil
  }

  /// Removes all but the newest `count`, what comes after `step` (a run that was set back), and what was left half-written.
  package func prune(keeping count: Int, after step: Int? = nil) {
    let files = FileManager.default
    let limit = step ?? .max
    let late = steps.filter { $0 > limit }
    let rest = steps.filter { $0 <= limit }
    for step in late + rest.dropLast(count) { try? files.removeItem(atPath: path(step: step)) }
  }

  /// Removes what a killed process left half-written.
  package func removePartial() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names where name.hasSuffix(".partial") {
      try? FileManager.default.removeItem(atPath: "\(path)/\(name)")
    }
  }

  static func split(_ path: String) -> (parent: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    return (String(path[..<slash]), String(path[path.index(after: slash)...]))
  }
}
