import Core
import CPUBackend
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Training

/// A run that is small enough for tests.
enum TrainingFixture {
  static let backend = CPUBackend(threads: 2, spins: 1000)

  static var configuration: TrainingConfiguration {
    var result = TrainingConfiguration()
    result.preset = "small"
    result.model = .modern(
      layers: 2, width: 32, heads: 2, kvHeads: 1, headSize: 16, mlpWidth: 48, context: 16, vocabulary: 64)
    result.tokenizer = .characters
    result.batch = 4
    result.steps = 12
    result.precision = .float32
    result.schedule = .init(peak: 5e-3, warmup: 2, course: .constant)
    result.evaluation = .init()
    result.evaluation.batches = 2
    result.sampling.tokens = 0
    result.checkpoint.every = 4
    result.checkpoint.background = false
    result.checkpoint.keep = 10
    result.stability.layerNorms = 3
    return result
  }

  /// Some text, always the same.
  static func writeText(in folder: String) throws -> String {
    let stories = StoriesAndSums(seed: 7)
    let path = folder + "/text.txt"
    try AtomicFile.write((0..<40).map { stories.document($0) }.joined(separator: "\n"), to: path)
    return path
  }

  /// Trains in `folder` and gives what happened.
  @discardableResult
  static func train(
    _ configuration: TrainingConfiguration, in folder: String, resume: Bool = false, stopAfter: Int = .max
  ) throws -> [TrainingEvent] {
    var configuration = configuration
    if configuration.data.path == nil { configuration.data.path = try writeText(in: folder) }
    let sink = MemorySink<TrainingEvent>()
    try DefaultBackend.with(backend) {
      let run = try TrainingRun(configuration, folder: folder + "/run", resume: resume, backend: backend, display: sink)
      var steps = 0
      _ = try run.run {
        steps += 1
        return steps > stopAfter
      }
    }
    return sink.events
  }

  static func losses(_ events: [TrainingEvent]) -> [Int: Double] {
    var result: [Int: Double] = [:]
    for case .step(let record) in events { result[record.step] = record.loss }
    return result
  }

  static func warnings(_ events: [TrainingEvent]) -> [String] {
    events.compactMap { if case .warning(_, let message) = $0 { message } else { nil } }
  }
}

/// Runs `body` with an empty folder, which goes away afterwards.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let path = FileManager.default.temporaryDirectory.path + "/tachornis-test-\(UInt64.random(in: 0 ... .max))"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try body(path)
}
