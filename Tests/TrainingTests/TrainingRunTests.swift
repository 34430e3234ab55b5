import Core
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing
import Training

/// Runs that begin, go on or end in an unusual way.
@Suite(.serialized) struct TrainingRunTests {
  @Test func aRefusedResumeLeavesTheFolderAsItWas() throws {
    try withFolder { folder in
      let configuration = TrainingFixture.configuration
      try TrainingFixture.train(configuration, in: folder)
      let files = ["config.json5", "events.jsonl"].map { "\(folder)/run/\($0)" }
      func contents() throws -> [Data] { try files.map { try Data(contentsOf: URL(filePath: $0)) } }
      let before = try contents()

      var other = configuration
      other.data.path = folder + "/other.txt"
      try AtomicFile.write(String(repeating: "Another text. ", count: 200), to: folder + "/other.txt")
      #expect(throws: TrainingError.self) { try TrainingFixture.train(other, in: folder, resume: true) }
      let after = try contents()
      #expect(after == before)
    }
  }

  @Test func aResumeWithNothingLeftToDoRepeatsNothing() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.sampling.tokens = 3
      try TrainingFixture.train(configuration, in: folder)
      let again = try TrainingFixture.train(configuration, in: folder, resume: true)
      let repeated = again.filter {
        if case .evaluation = $0 { true } else if case .sample = $0 { true } else { false }
      }
      #expect(repeated.isEmpty)
      let log = try EventLog.read(path: folder + "/run/events.jsonl")
      #expect(log.filter { if case .evaluation(12, _) = $0 { true } else { false } }.count == 1)
    }
  }

  @Test func withTooLittleHeldOutTextARunTrainsWithoutEvaluation() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.data.validation = 0.0005
      let events = try TrainingFixture.train(configuration, in: folder)
      #expect(TrainingFixture.losses(events).count == 12)
      #expect(!events.contains { if case .evaluation = $0 { true } else { false } })
      #expect(TrainingFixture.warnings(events).contains { $0.contains("held out") })
    }
  }

  @Test(arguments: [true, false]) func aLastCheckpointThatFailsIsAnError(background: Bool) throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.steps = 4
      configuration.checkpoint.background = background
      try FileManager.default.createDirectory(atPath: folder + "/run", withIntermediateDirectories: true)
      try AtomicFile.write("in the way", to: folder + "/run/checkpoints")
      let error = #expect(throws: TrainingError.self) { try TrainingFixture.train(configuration, in: folder) }
      #expect(error?.code == .cannotWrite, "\(error?.message ?? "nothing")")
    }
  }

  @Test func anyNumberOfSecondsIsATimeLimit() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.steps = nil
      configuration.seconds = 1e300
      let events = try TrainingFixture.train(configuration, in: folder, stopAfter: 3)
      #expect(TrainingFixture.losses(events).count == 3)
    }
  }

  @Test func sizesBeyondTheMachineAreRefused() throws {
    for (width, batch) in [(1 << 24, 4), (32, 1 << 16)] {
      try withFolder { folder in
        var configuration = TrainingFixture.configuration
        configuration.model.width = width
        configuration.batch = batch
        configuration.model.context = 1 << 24
        let error = #expect(throws: TrainingError.self) { try TrainingFixture.train(configuration, in: folder) }
        #expect(error?.message.contains("GB") == true, "\(error?.message ?? "nothing")")
      }
    }
  }

  @Test func aStepOfAccumulatedBatchesThatIsNotFiniteIsExplained() throws {
    let optimizer = AdamWOptimizer()
    try DefaultBackend.with(TrainingFixture.backend) {
      let step = try TrainingStep(
        GPT(TrainingFixture.configuration.model), optimizer: optimizer, compute: .bfloat16, batch: 4, length: 16,
        accumulation: 2, clip: 1, backend: TrainingFixture.backend)
      let state = try TrainingState(step.store, optimizer: optimizer, seed: 3)
      let place = try #require(state.parameters.firstIndex { $0.name == "model.layers.1.mlp.up_proj.weight" })
      try #require(state.working[place])[5] = .float(.nan)
      let tokens = TensorData((0..<64).map { Int32($0 * 7 % 64) }, shape: [4, 16])
      var first = FirstNonFinite()
      let report = try step([(tokens, tokens), (tokens, tokens)], state, .init(rate: 1e-2, step: 1, key: 1)) {
        first.inspect($0, $1, in: $2)
      }
      #expect(!report.applied)
      #expect(first.finding?.hasPrefix("matmul of layers.1 gave nan") == true, "\(first.finding ?? "nothing")")
    }
  }
}
