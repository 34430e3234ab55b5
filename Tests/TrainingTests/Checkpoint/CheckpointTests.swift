import Core
import CPUBackend
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing
import Training

@Suite(.serialized) struct CheckpointTests {
  @Test func everyDamageIsNoticedAndTheOneBeforeIsUsed() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.data.path = try TrainingFixture.writeText(in: folder)
      let whole = TrainingFixture.losses(try TrainingFixture.train(configuration, in: folder))
      let newest = folder + "/run/checkpoints/step-00000012"
      let damages: [(String, (String) throws -> Void)] = [
        ("optimizer.safetensors", { try Self.truncate($0) }), ("model.safetensors", { try Self.flipBit($0) }),
        ("state.json", { try FileManager.default.removeItem(atPath: $0) }),
        ("manifest.json", { try FileManager.default.removeItem(atPath: $0) }),
      ]
      let backup = folder + "/backup"
      try FileManager.default.copyItem(atPath: folder + "/run", toPath: backup)
      for (name, damage) in damages {
        try FileManager.default.removeItem(atPath: folder + "/run")
        try FileManager.default.copyItem(atPath: backup, toPath: folder + "/run")
        try damage("\(newest)/\(name)")
        let events = try TrainingFixture.train(configuration, in: folder, resume: true)
        let warnings = TrainingFixture.warnings(events)
        #expect(
          warnings.contains { $0.contains("step-00000012") && $0.contains("passed over") }, "\(name): \(warnings)")
        let rest = TrainingFixture.losses(events)
        #expect(rest.keys.sorted() == [9, 10, 11, 12])
        for (step, loss) in rest { #expect(loss == whole[step]) }
      }
    }
  }

  @Test func aFolderThatCannotBeWrittenIsAnErrorAndEarlierCheckpointsStay() throws {
    // A file stands where the folder should be, so nothing can be written there, whoever runs the test.
    try withFolder { folder in
      let events = try TrainingFixture.train(TrainingFixture.configuration, in: folder)
      #expect(!events.isEmpty)
      let path = folder + "/run/checkpoints/step-00000012"
      let checkpoint = try Checkpoint(path: path)
      let blocked = folder + "/blocked"
      try AtomicFile.write("a file", to: blocked)
      let error = #expect(throws: TrainingError.self) { try checkpoint.write(to: blocked + "/step-00000013") }
      #expect(error?.code == .cannotWrite)
      #expect(error?.message.contains("--resume") == true)
      try Checkpoint.verify(path)
    }
  }

  @Test func writingInTheBackgroundWritesTheStateOfItsMoment() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.data.path = try TrainingFixture.writeText(in: folder)
      _ = try TrainingFixture.train(configuration, in: folder + "/now")
      configuration.checkpoint.background = true
      _ = try TrainingFixture.train(configuration, in: folder + "/beside")
      for step in ["step-00000004", "step-00000008", "step-00000012"] {
        let (a, b) = ("\(folder)/now/run/checkpoints/\(step)", "\(folder)/beside/run/checkpoints/\(step)")
        try Checkpoint.verify(b)
        for name in ["model.safetensors", "optimizer.safetensors"] {
          #expect(
            try Data(contentsOf: URL(filePath: "\(a)/\(name)")) == Data(contentsOf: URL(filePath: "\(b)/\(name)")))
        }
      }
    }
  }

  @Test func onlyTheNewestAreKept() throws {
    try withFolder { folder in
      var configuration = TrainingFixture.configuration
      configuration.checkpoint.keep = 2
      configuration.checkpoint.every = 3
      _ = try TrainingFixture.train(configuration, in: folder)
      #expect(CheckpointFolder(run: folder + "/run").steps == [9, 12])
    }
  }

  @Test func anEarlierRunIsNotOverwritten() throws {
    try withFolder { folder in
      _ = try TrainingFixture.train(TrainingFixture.configuration, in: folder)
      let error = #expect(throws: TrainingError.self) {
        try TrainingFixture.train(TrainingFixture.configuration, in: folder)
      }
      #expect(error?.message.contains("--resume") == true)
    }
  }

  @Test func aRunOnOtherDataIsNotResumed() throws {
    try withFolder { folder in
      _ = try TrainingFixture.train(TrainingFixture.configuration, in: folder)
      var other = TrainingFixture.configuration
      other.data.path = folder + "/other.txt"
      try AtomicFile.write(String(repeating: "Another text. ", count: 500), to: other.data.path!)
      let error = #expect(throws: TrainingError.self) { try TrainingFixture.train(other, in: folder, resume: true) }
      #expect(error?.message.contains("other data") == true)
    }
  }

  private static func truncate(_ path: String) throws {
    let data = try Data(contentsOf: URL(filePath: path))
    try data.prefix(data.count / 2).write(to: URL(filePath: path))
  }

  private static func flipBit(_ path: String) throws {
    var data = try Data(contentsOf: URL(filePath: path))
    data[data.count - 5] ^= 4
    try data.write(to: URL(filePath: path))
  }
}
