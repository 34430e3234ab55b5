// A run that is small enough to be killed, continued and compared within a second.

import Core
import FoundationEssentials

/// How to train a tiny model in a folder, and what the run left there.
struct TinyRun {
  let data: String
  let folder: String

  init(_ place: Workplace, name: String = "run") throws {
    data = try place.sentences()
    folder = "\(place.path)/\(name)"
  }

  /// The arguments of `train`; `more` can say otherwise.
  func train(steps: Int, _ more: [String] = []) -> [String] {
    let settings = [
      "tokenizer=characters", "model.layers=1", "model.width=32", "model.heads=2", "model.kvHeads=1",
      "model.headSize=16", "model.mlpWidth=64", "batch=2", "length=32", "evaluation.batches=2", "sampling.tokens=8",
    ]
    return ["train", "--model", "small", "--steps", "\(steps)", "--threads", "1", "--out", folder]
      + (more.contains("--data") ? [] : ["--data", data]) + settings.flatMap { ["--set", $0] } + more
  }

  /// The lines of events.jsonl.
  func events() throws -> [JSONValue] {
    let lines = try Data(contentsOf: URL(filePath: folder + "/events.jsonl")).split(separator: UInt8(ascii: "\n"))
    return try lines.map { line in try line.withUnsafeBytes { try JSONValue(parsing: $0) } }
  }

  func events(_ kind: String) throws -> [JSONValue] { try events().filter { $0["event"]?.string == kind } }

  /// Number and loss of each step in the log, in its order.
  func losses() throws -> [Loss] {
    try events("step").map { Loss(step: $0["step"]?.integer ?? -1, loss: $0["loss"]?.double ?? .nan) }
  }

  struct Loss: Equatable {
    var step: Int
    var loss: Double
  }

  /// The names of finished checkpoints, oldest first.
  func checkpoints() -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/checkpoints")) ?? []
    return names.filter { $0.hasPrefix("step-") }.sorted()
  }

  func holds(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(folder)/\(name)") }
}
