import Core
import CPUBackend
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing
import Training

@Suite(.serialized) struct TrainerTests {
  @Test func aRunLearnsAndLeavesAllItsFiles() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.steps = 60
      configuration.checkpoint.every = 0
      configuration.sampling.tokens = 8
      let events = try TrainingFixture.train(configuration, in: folder)
      let losses = TrainingFixture.losses(events)
      #expect(losses.count == 60)
      #expect(losses[60]! < losses[1]! - 1, "from \(losses[1]!) to \(losses[60]!)")
      for name in ["config.json5", "events.jsonl", "report.html", "checkpoints/step-00000060/model.safetensors"] {
        #expect(FileManager.default.fileExists(atPath: "\(folder)/run/\(name)"), "\(name)")
      }
      #expect(events.contains { if case .evaluation(60, _) = $0 { true } else { false } })
      #expect(events.contains { if case .sample(60, _) = $0 { true } else { false } })
      let norms = events.compactMap { if case .step(let record) = $0 { record.layerGradientNorms } else { nil } }
      #expect(norms[2].map(\.layer) == ["model.embed_tokens", "layers.0", "layers.1", "model.norm"])
      #expect(norms[1].isEmpty)
    }
  }

  @Test func aResumedRunRepeatsTheLossesOfOneThatWasNotInterrupted() throws {
    for optimizer in [OptimizerConfiguration.adamW(.init()), .muon(.init()), .sgd(.init())] {
      try withFolder { folder in
        var configuration = TrainingFixture.configuration
        configuration.optimizer = optimizer
        configuration.precision = .bfloat16
        configuration.model.dropout = 0.1
        configuration.data.path = try TrainingFixture.writeText(in: folder)
        let whole = TrainingFixture.losses(try TrainingFixture.train(configuration, in: folder + "/whole"))
        _ = try TrainingFixture.train(configuration, in: folder + "/parts", stopAfter: 5)
        let rest = TrainingFixture.losses(try TrainingFixture.train(configuration, in: folder + "/parts", resume: true))
        #expect(rest.keys.min() == 6)
        for (step, loss) in rest { #expect(loss == whole[step], "step \(step)") }
        let log = try EventLog.read(path: folder + "/parts/run/events.jsonl")
        let steps = log.compactMap { if case .step(let record) = $0 { record.step } else { nil } }
        #expect(steps == Array(1...12))
      }
    }
  }

  @Test func threadsDoNotChangeTheLosses() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.data.path = try TrainingFixture.writeText(in: folder)
      configuration.precision = .bfloat16
      let two = TrainingFixture.losses(try TrainingFixture.train(configuration, in: folder + "/two"))
      for threads in [1, 3] {
        let backend = CPUBackend(threads: threads, spins: 100)
        let sink = MemorySink<TrainingEvent>()
        try DefaultBackend.with(backend) {
          let path = "\(folder)/\(threads)"
          _ = try TrainingRun(configuration, folder: path, resume: false, backend: backend, display: sink).run()
        }
        #expect(TrainingFixture.losses(sink.events) == two, "\(threads) threads")
      }
    }
  }

  @Test func accumulatedBatchesAreOneLargeBatch() throws {
    let model = GPT(TrainingFixture.configuration.model)
    let optimizer = AdamWOptimizer()
    func batch(_ rows: Int, from first: Int) -> (tokens: TensorData, targets: TensorData) {
      let text = (0...(rows * 16)).map { Int32((($0 + first * 16) * 37 + ($0 + first * 16) / 5) % 64) }
      return (
        TensorData(Array(text.dropLast()), shape: [rows, 16]), TensorData(Array(text.dropFirst()), shape: [rows, 16])
      )
    }
    try DefaultBackend.with(TrainingFixture.backend) {
      func losses(batch rows: Int, accumulation: Int) throws -> [Double] {
        let step = try TrainingStep(
          model, optimizer: optimizer, compute: .float32, batch: rows, length: 16, accumulation: accumulation, clip: 1,
          backend: TrainingFixture.backend)
        let state = try TrainingState(step.store, optimizer: optimizer, seed: 3)
        return try (1...4).map { number in
          let batches = (0..<accumulation).map { batch(rows, from: $0 * rows) }
          return try step(batches, state, .init(rate: 1e-2, step: number, key: 1)).loss
        }
      }
      for (one, parts) in zip(try losses(batch: 4, accumulation: 1), try losses(batch: 2, accumulation: 2)) {
        #expect(abs(one - parts) < 1e-5, "\(one) and \(parts)")
      }
    }
  }

  @Test func rematerialisationChangesMemoryAndNotTheNumbers() throws {
    var shape = TrainingFixture.configuration.model
    shape.layers = 6
    let optimizer = AdamWOptimizer()
    let tokens = TensorData((0..<64).map { Int32($0 * 7 % 64) }, shape: [4, 16])
    var arenas: [Int] = []
    var reports: [TrainingStep.Report] = []
    try DefaultBackend.with(TrainingFixture.backend) {
      for rematerialise in [false, true] {
        let step = try TrainingStep(
          GPT(shape), optimizer: optimizer, compute: .float32, batch: 4, length: 16, clip: nil,
          rematerialise: rematerialise, backend: TrainingFixture.backend)
        let state = try TrainingState(step.store, optimizer: optimizer, seed: 3)
        reports.append(try step([(tokens, tokens)], state, .init(rate: 1e-2, step: 1, key: 1)))
        arenas.append(step.program.plan.arenaBytes)
      }
    }
    #expect(reports[0].loss == reports[1].loss)
    #expect(abs(reports[0].gradientNorm - reports[1].gradientNorm) < 1e-5 * reports[0].gradientNorm)
    #expect(arenas[1] < arenas[0] * 2 / 3, "\(arenas[1]) of \(arenas[0]) bytes")
  }

  @Test func aStepThatIsNotFiniteChangesNothingAndIsExplained() throws {
    let model = GPT(TrainingFixture.configuration.model)
    let optimizer = AdamWOptimizer()
    try DefaultBackend.with(TrainingFixture.backend) {
      let step = try TrainingStep(
        model, optimizer: optimizer, compute: .bfloat16, batch: 4, length: 16, clip: 1, backend: TrainingFixture.backend
      )
      let state = try TrainingState(step.store, optimizer: optimizer, seed: 3)
      let name = "model.layers.1.mlp.up_proj.weight"
      let place = try #require(state.parameters.firstIndex { $0.name == name })
      let poisoned = try #require(state.working[place])
      poisoned[5] = .float(.nan)
      let before = state.masters.map(\.floats)
      let tokens = TensorData((0..<64).map { Int32($0 * 7 % 64) }, shape: [4, 16])
      var first = FirstNonFinite()
      let report = try step([(tokens, tokens)], state, .init(rate: 1e-2, step: 1, key: 1)) {
        first.inspect($0, $1, in: $2)
      }
      #expect(!report.applied)
      #expect(state.masters.map(\.floats) == before)
      #expect(first.finding?.hasPrefix("matmul of layers.1 gave nan") == true, "\(first.finding ?? "nothing")")
    }
  }

  @Test func stepsBeyondTheLimitsAreLeftOut() throws {
    let model = GPT(TrainingFixture.configuration.model)
    for rule in [AdamWOptimizer() as any Optimizer, MuonOptimizer(), SGDOptimizer()] {
      try DefaultBackend.with(TrainingFixture.backend) {
        let step = try TrainingStep(
          model, optimizer: rule, compute: .float32, batch: 4, length: 16, clip: 1, backend: TrainingFixture.backend)
        let state = try TrainingState(step.store, optimizer: rule, seed: 3)
        let before = state.masters.map(\.floats)
        let tokens = TensorData((0..<64).map { Int32($0 * 7 % 64) }, shape: [4, 16])
        let kept = try step([(tokens, tokens)], state, .init(rate: 1e-2, step: 1, key: 1, lossLimit: 0.1))
        #expect(!kept.applied)
        #expect(state.masters.map(\.floats) == before)
        let applied = try step([(tokens, tokens)], state, .init(rate: 1e-2, step: 1, key: 1))
        #expect(applied.applied)
        #expect(state.masters.map(\.floats) != before)
      }
    }
  }

  @Test func theWatchFindsSpikes() {
    var configuration = StabilityConfiguration()
    configuration.skipSpikes = true
    configuration.warmup = 10
    configuration.patience = 3
    var watch = StabilityWatch(configuration)
    for step in 0..<40 {
      if step < 10 { #expect(watch.limits.loss == .infinity) }
      watch.record(loss: 2 + 0.05 * Double(step % 3), norm: 1, applied: true)
    }
    #expect(watch.limits.loss > 2.1 && watch.limits.loss < 3, "\(watch.limits.loss)")
    for _ in 0..<3 {
      #expect(!watch.hasDiverged)
      watch.record(loss: 9, norm: 9, applied: false)
    }
    #expect(watch.hasDiverged)
  }
}
