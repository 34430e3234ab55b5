// Precedence, choices, and messages of configurations.

internal import Core
internal import FoundationEssentials
internal import Testing

private struct Run: Configuration {
  var steps = 1000
  var name = "run"
  var seed: UInt64 = 7
  var limit: Double?
  var model = Model()
  var optimizer = Optimizer.adamw(.init())
  var tokenizer = Tokenizer.bytePair(.init())
  var schedule = Schedule.cosine
  var tags: [String] = ["a"]
  var stages: [Stage] = []
  var checkpoint = Checkpoint()
  var evaluation: Evaluation?
  var spare: Tokenizer?

  func problems() -> [ConfigurationProblem] {
    check(steps > 0, "steps", steps, "must be positive")
    if let limit { check(limit > 0, "limit", limit, "must be positive") }
  }
}

private struct Model: Configuration {
  var width = 384
  var heads = 6
  var dropout: Float = 0.1
  var bias = true

  func problems() -> [ConfigurationProblem] {
    check(heads > 0 && width % heads == 0, "heads", heads, "must be a divisor of width (\(width))")
    check(dropout >= 0 && dropout < 1, "dropout", dropout, "must be in 0..<1")
  }
}

private struct AdamW: Configuration {
  var learningRate = 3e-4
  var betas = [0.9, 0.95]
}

private struct Muon: Configuration {
  var learningRate = 0.02
  var momentum = 0.95
  var rest = AdamW()

  func problems() -> [ConfigurationProblem] {
    check(momentum < 1, "momentum", momentum, "must be below 1")
  }
}

private enum Optimizer: ConfigurationChoice {
  case adamw(AdamW), muon(Muon), constant(rate: Double, steps: Int), fixed(Double), none

  static let choices: [Optimizer] = [
    .adamw(.init()), .muon(.init()), .constant(rate: 0.1, steps: 5), .fixed(0.5), .none,
  ]
}

private struct BytePair: Configuration { var vocabulary = 4096 }

private enum Tokenizer: ConfigurationChoice {
  case bytePair(BytePair), characters
  static let choices: [Tokenizer] = [.bytePair(.init()), .characters]
}

private enum Schedule: String, Codable, CaseIterable { case cosine, linear, warmUpStableDecay }
private struct Stage: Configuration {
  var length = 256
  var optimizer = Optimizer.none
}
private struct Checkpoint: Configuration {
  var every = 100
  var keep: Int? = 3
}
private struct Evaluation: Configuration { var every = 50 }

@Suite struct ConfigurationTests {
  private func load(_ text: String? = nil, _ overrides: String...) throws -> Run {
    try ConfigurationLoader.load(Run.self, text: text, name: "run.json5", overrides: overrides)
  }

  private func problems(_ text: String? = nil, _ overrides: String...) throws -> [String] {
    let error = try #require(throws: ConfigurationError.self) {
      try ConfigurationLoader.load(Run.self, text: text, name: "run.json5", overrides: overrides)
    }
    #expect(error.code == .invalid)
    return error.problems.map(\.description)
  }

  @Test func defaultsFileOverrides() throws {
    #expect(try load() == Run())
    let run = try load(
      "{ steps: 5, model: { width: 96 }, checkpoint: { every: 7 } }", "checkpoint.every=20", "steps=1e3")
    #expect(run.steps == 1000)
    #expect(run.model == Model(width: 96))
    #expect(run.checkpoint == Checkpoint(every: 20))
    #expect(try ConfigurationLoader.load(overrides: ["model.bias=false"], defaults: Run(steps: 3)).steps == 3)
  }

  @Test func choices() throws {
    #expect(try load(nil, "tokenizer=characters").tokenizer == .characters)
    #expect(try load(nil, "optimizer=muon").optimizer == .muon(Muon()))
    #expect(try load(nil, "optimizer.muon.momentum=0.9").optimizer == .muon(Muon(momentum: 0.9)))
    #expect(try load("{ optimizer: { adamw: { learningRate: 1 } } }").optimizer == .adamw(AdamW(learningRate: 1)))
    #expect(
      try load("{ optimizer: 'muon' }", "optimizer.rest.learningRate=2").optimizer
        == .muon(Muon(rest: AdamW(learningRate: 2))))
    #expect(try load(nil, "optimizer.learningRate=3e-5").optimizer == .adamw(AdamW(learningRate: 3e-5)))
    // The strongest name wins; settings of another choice have no effect.
    #expect(try load("{ optimizer: { muon: { momentum: 0.5 } } }", "optimizer=adamw").optimizer == .adamw(AdamW()))
    #expect(
      try load("{ optimizer: { muon: { momentum: 0.5 } } }", "optimizer=muon").optimizer
        == .muon(Muon(momentum: 0.5)))
    #expect(
      try load(nil, "optimizer.muon.momentum=0.5", "optimizer.muon.learningRate=1").optimizer
        == .muon(Muon(learningRate: 1, momentum: 0.5)))
    #expect(try load(nil, "optimizer=constant").optimizer == .constant(rate: 0.1, steps: 5))
    #expect(try load(nil, "optimizer.constant.steps=9").optimizer == .constant(rate: 0.1, steps: 9))
    #expect(try load("{ optimizer: { fixed: 0.25 } }").optimizer == .fixed(0.25))
    #expect(try load("{ optimizer: { none: {} } }").optimizer == .none)
    #expect(try load(nil, "schedule=linear").schedule == .linear)
  }

  @Test func optionalsListsAndText() throws {
    #expect(try load("{ limit: 2.5, evaluation: {} }").evaluation == Evaluation())
    #expect(try load("{ evaluation: { every: 3 } }", "evaluation=null").evaluation == nil)
    #expect(try load(nil, "evaluation.every=9").evaluation == Evaluation(every: 9))
    #expect(try load(nil, "spare=characters").spare == .characters)
    #expect(try load("{ spare: 'characters' }", "spare=null").spare == nil)
    #expect(try load(nil, "checkpoint.keep=null").checkpoint.keep == nil)
    #expect(try load(nil, "tags=[\"x\", 'y']").tags == ["x", "y"])
    #expect(
      try load("{ stages: [{ length: 8 }, { optimizer: 'muon' }, {}] }").stages
        == [Stage(length: 8), Stage(optimizer: .muon(.init())), Stage()])
    // Text needs no quotes, also where it looks like a number.
    #expect(try load(nil, "name=1.10").name == "1.10")
    #expect(try load(nil, "name=true").name == "true")
    #expect(try load(nil, "name=two words = x").name == "two words = x")
    #expect(try load(nil, "name=").name == "")
    #expect(try load(nil, "seed=18446744073709551615").seed == .max)
  }

  @Test func everythingRoundTrips() throws {
    var run = Run()
    run.limit = 0.1
    run.optimizer = .muon(Muon(momentum: 1.0 / 3))
    run.tokenizer = .characters
    run.stages = [Stage(length: 3, optimizer: .constant(rate: 0.3, steps: 2)), Stage(optimizer: .fixed(2))]
    run.evaluation = Evaluation(every: 4)
    run.model.dropout = 0.3
    run.name = "a \"b\"\n"
    run.checkpoint.keep = nil
    for value in [run, Run()] {
      #expect(try load(ConfigurationLoader.encode(value)) == value)
    }
    #expect(
      ConfigurationLoader.encode(Run()) == """
        {
          steps: 1000,
          name: "run",
          seed: 7,
          limit: null,
          model: {
            width: 384,
            heads: 6,
            dropout: 0.1,
            bias: true,
          },
          optimizer: {
            adamw: {
              learningRate: 0.0003,
              betas: [0.9, 0.95],
            },
          },
          tokenizer: {
            bytePair: {
              vocabulary: 4096,
            },
          },
          schedule: "cosine",
          tags: ["a"],
          stages: [],
          checkpoint: {
            every: 100,
            keep: 3,
          },
          evaluation: null,
          spare: null,
        }

        """)
  }

  @Test func allProblemsAtOnce() throws {
    let found = try problems(
      "{ stepz: 3, steps: 'many', model: { heads: 5, dropout: true }, optimizer: { adam: {} }, schedule: 'cosin' }",
      "seed=-1", "model.widht=3", "limit=0", "optimizer.muon.momentun=0.1")
    #expect(
      found == [
        "steps = \"many\" (run.json5): must be an integer, but is a string",
        "seed = -1 (--set seed=-1): must be an integer in 0...18446744073709551615, but is a number",
        "model.dropout = true (run.json5): must be a number, but is true or false",
        "model.widht (--set model.widht=3): unknown key; did you mean width? allowed here: width, heads, dropout, bias",
        "optimizer.adam (run.json5): unknown key; did you mean adamw? choices: adamw, muon, constant, fixed, none; "
          + "settings of muon: learningRate, momentum, rest",
        "optimizer.muon.momentun (--set optimizer.muon.momentun=0.1): unknown key; did you mean momentum? "
          + "allowed here: learningRate, momentum, rest",
        "schedule = \"cosin\" (run.json5): unknown choice; did you mean cosine? "
          + "allowed: cosine, linear, warmUpStableDecay",
        "stepz (run.json5): unknown key; did you mean steps? allowed here: steps, name, seed, limit, model, optimizer, "
          + "tokenizer, schedule, tags, stages, checkpoint, evaluation, spare",
        "limit = 0.0: must be positive",
        "model.heads = 5: must be a divisor of width (384)",
      ])
  }

  private static let single: [(String, String)] = [
    (
      "model=3",
      "model = 3 (--set model=3): must be an object with settings (width, heads, dropout, bias), but is a number"
    ),
    ("optimizer=adm", "unknown choice; allowed: adamw"),
    ("optimizer=admaw", "did you mean adamw? allowed: adamw, muon, constant, fixed, none"),
    ("optimizer=[1]", "must be one of adamw, muon"),
    ("optimizer={adamw: {}, muon: {}}", "give one choice"),
    ("optimizer.fixed=x", "optimizer.fixed = \"x\" (--set optimizer.fixed=x): must be a number, but is a string"),
    ("tokenizer={ characters: { a: 1 } }", "characters has no settings"),
    ("tags=a", "tags = \"a\" (--set tags=a): must be a list, but is a string"),
    ("tags.0=x", "must be a list, but is an object"),
    ("stages=[{ lenght: 1 }]", "stages.0.lenght (--set stages=[{ lenght: 1 }]): unknown key; did you mean length?"),
    ("steps=1.5", "steps = 1.5"),
    ("steps=null", "steps = null (--set steps=null): must be an integer, but is null"),
    ("steps.x=3", "must be an integer, but is an object"),
    ("optimizer.muon.momentum=2", "optimizer.muon.momentum = 2.0: must be below 1"),
    ("checkpoint.keep=x", "checkpoint.keep = \"x\""),
    ("model=null", "model = null (--set model=null): must be an object with settings"),
    ("optimizer=null", "must be one of adamw, muon"),
    (
      "spare.vocabulary=3",
      "spare = {\"vocabulary\":3} (--set spare.vocabulary=3): does not say which choice; allowed: bytePair"
    ),
  ]

  @Test(arguments: single)
  func oneProblem(override: String, message: String) throws {
    let found = try problems(nil, override)
    #expect(found.count == 1, "\(found)")
    #expect(found[0].contains(message), "\(found)")
  }

  @Test func whatCannotBeParsed() throws {
    func code(_ overrides: [String], _ text: String? = nil) -> ConfigurationError.Code? {
      do throws(ConfigurationError) {
        _ = try ConfigurationLoader.load(Run.self, text: text, name: "x", overrides: overrides)
        return nil
      } catch { return error.code }
    }
    #expect(code(["steps"]) == .malformedOverride)
    #expect(code(["=3"]) == .malformedOverride)
    #expect(code(["a..b=3"]) == .malformedOverride)
    #expect(code(["tags=[1"]) == .malformedOverride)
    #expect(code([], "{ steps 3 }") == .syntax)
    #expect(code([], "3") == .invalid)
    let missing = try #require(throws: ConfigurationError.self) {
      try ConfigurationLoader.load(Run.self, file: "/nowhere/run.json5")
    }
    #expect(missing.code == .cannotRead)
    #expect(missing.message.contains("/nowhere/run.json5"))
  }

  @Test func filesAreRead() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "run-\(UInt64.random(in: 0 ... .max)).json5")
    try Data("// one\n{ steps: 12 }".utf8).write(to: path)
    defer { try? FileManager.default.removeItem(at: path) }
    #expect(try ConfigurationLoader.load(Run.self, file: path.path, overrides: ["name=x"]).steps == 12)
    try Data([0x7B, 0xFF, 0x7D]).write(to: path)
    let error = try #require(throws: ConfigurationError.self) {
      try ConfigurationLoader.load(Run.self, file: path.path)
    }
    #expect(error.code == .syntax)
  }

  @Test func problemsOfConfigurationsMadeInCode() {
    var run = Run()
    #expect(ConfigurationLoader.problems(in: run).isEmpty)
    run.optimizer = .muon(Muon(momentum: 1))
    run.stages = [Stage(), Stage(optimizer: .muon(Muon(momentum: 3)))]
    #expect(
      ConfigurationLoader.problems(in: run).map(\.path) == [
        "optimizer.muon.momentum", "stages.1.optimizer.muon.momentum",
      ])
  }
}
