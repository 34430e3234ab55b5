// events.jsonl: what is written is read, and no step stands in it twice.

internal import Core
internal import FoundationEssentials
internal import Testing
internal import Training

/// A folder that is removed with the value that made it.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "reporting-\(UInt64.random(in: 0 ... .max))").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// A made-up run.
enum FakeRun {
  static func description(steps: Int = 1000, resumedFrom: Int = 0) -> RunDescription {
    RunDescription(
      model: "gpt-<6m>", parameters: 6_123_456, tokensPerStep: 2048, steps: steps, device: "AVX-512, 2 threads",
      resumedFrom: resumedFrom, configuration: "{\n  steps: \(steps),\n}\n")
  }

  static func step(_ step: Int, skipped: Bool = false) -> StepRecord {
    StepRecord(
      step: step, loss: 2 + 5 / Double(step), learningRate: 3e-4, gradientNorm: 0.1 * Double(step % 7 + 1),
      tokensPerSecond: 12_345.6, seconds: 0.166, mfu: 0.43, skipped: skipped,
      layerGradientNorms: step % 2 == 0 ? [.init(layer: "layers.0", norm: 0.5), .init(layer: "head", norm: 0.25)] : [])
  }

  static let everyKind: [TrainingEvent] = [
    .started(description(resumedFrom: 0)), .step(step(1)), .step(step(2, skipped: true)),
    .evaluation(step: 2, loss: 3.25), .sample(step: 2, text: "Once upon\n\"a\" </script> time \u{1B}[31m"),
    .checkpoint(step: 2, path: "checkpoints/2", seconds: 0.25), .warning(step: 2, message: "a spike"),
    .finished(RunSummary(reason: .timeLimit, step: 2, loss: 4.5, evaluationLoss: 3.25, tokens: 4096, seconds: 1.5)),
  ]
}

@Suite struct EventLogTests {
  @Test func everyKindRoundTrips() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("events.jsonl")
    let sink = try JSONLinesSink(path: path, resumingFrom: 0)
    for event in FakeRun.everyKind { sink.receive(event) }
    sink.flush()
    #expect(sink.failure == nil)
    #expect(try EventLog.read(path: path) == FakeRun.everyKind)
  }

  @Test func linesHaveThePromisedKeys() {
    let line = TrainingEvent.step(FakeRun.step(1)).json
    #expect(
      line.object?.keys == [
        "event", "step", "loss", "learningRate", "gradientNorm", "tokensPerSecond", "seconds", "mfu",
      ])
    #expect(TrainingEvent.evaluation(step: 3, loss: 2.5).json.json == #"{"event":"evaluation","step":3,"loss":2.5}"#)
    var bad = FakeRun.step(1)
    bad.loss = .nan
    #expect(TrainingEvent.step(bad).json.json.contains(#""loss":null"#))
    guard case .step(let read)? = TrainingEvent(json: TrainingEvent.step(bad).json) else {
      Issue.record("a step with a loss of NaN was not read back")
      return
    }
    #expect(read.loss.isNaN)
  }

  /// Kills a run wherever a line may be torn, and resumes it from its checkpoint.
  @Test func aResumedRunRepeatsNoStep() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("events.jsonl")
    let first = try JSONLinesSink(path: path, resumingFrom: 0)
    first.receive(.started(FakeRun.description()))
    for step in 1...10 {
      first.receive(.step(FakeRun.step(step)))
      if step % 4 == 0 { first.receive(.checkpoint(step: step, path: "c\(step)", seconds: 0.1)) }
    }
    let whole = try Data(contentsOf: URL(filePath: path))
    for cut in [0, 1, 17, 40] {
      try whole.dropLast(cut).write(to: URL(filePath: path))
      let resumed = try JSONLinesSink(path: path, resumingFrom: 8)
      resumed.receive(.started(FakeRun.description(resumedFrom: 8)))
      for step in 9...12 { resumed.receive(.step(FakeRun.step(step))) }
      let steps = try EventLog.read(path: path).compactMap { event -> Int? in
        if case .step(let record) = event { record.step } else { nil }
      }
      #expect(steps == Array(1...12), "cut \(cut)")
      let text = try String(decoding: Data(contentsOf: URL(filePath: path)), as: UTF8.self)
      #expect(text.split(separator: "\n").allSatisfy { (try? JSONValue(parsing: String($0))) != nil })
      #expect(text.hasSuffix("\n"))
    }
  }

  @Test func aFreshRunBeginsAnew() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("events.jsonl")
    for _ in 0..<2 {
      let sink = try JSONLinesSink(path: path, resumingFrom: 0)
      for event in FakeRun.everyKind { sink.receive(event) }
    }
    #expect(try EventLog.read(path: path) == FakeRun.everyKind)
  }

  @Test func historyOfAResumedRun() {
    var history = RunHistory(FakeRun.everyKind)
    #expect(history.summary?.reason == .timeLimit)
    history.receive(.started(FakeRun.description(resumedFrom: 1)))
    #expect(history.steps.map(\.step) == [1])
    #expect(history.evaluations.isEmpty && history.samples.isEmpty && history.warnings.isEmpty)
    #expect(history.summary == nil)
    history.receive(.step(FakeRun.step(2)))
    history.receive(.step(FakeRun.step(2)))
    #expect(history.steps.map(\.step) == [1, 2])
  }

  @Test func smoothingIsUnbiasedAndBlindToNaN() {
    var smoother = Smoother(horizon: 10)
    #expect(smoother.average.isNaN)
    #expect(abs(smoother.add(3) - 3) < 1e-12)
    #expect(abs(smoother.add(.nan) - 3) < 1e-12)
    for _ in 0..<200 { _ = smoother.add(5) }
    #expect(abs(smoother.average - 5) < 1e-6)
  }

  /// A full disk (which /dev/full is) stops the reporting, not the run, and is told once.
  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
  func aFullDiskIsTold() throws {
    let file = try AppendFile(path: "/dev/full")
    #expect(throws: FileError.self) { try file.append([1]) }
    let folder = try TemporaryFolder()
    let memory = MemorySink<TrainingEvent>()
    let recorder = RunRecorder([ReportSink(path: folder.file("missing/report.html")), memory])
    for event in FakeRun.everyKind { recorder.receive(event) }
    let warnings = memory.events.filter {
      if case .warning(_, let text) = $0 { text.contains("report.html") } else { false }
    }
    #expect(warnings.count == 1)
    #expect(memory.events.count == FakeRun.everyKind.count + 1)
    #expect(recorder.failure != nil)
  }
}
