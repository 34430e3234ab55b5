// Runs that end early lose nothing that they had saved, and go on as if they had not.

import Core
import FoundationEssentials
import Testing

@Suite struct InterruptionTests {
  static let steps = 150

  /// Dropout and a learning-rate schedule, so that random numbers and the position in the run matter too.
  private static let settings = [
    "--set", "checkpoint.every=10", "--set", "model.dropout=0.1", "--set", "schedule.warmup=20",
  ]

  @Test func killedAndResumedIsTheSameRun() throws {
    let place = try Workplace()
    let whole = try TinyRun(place, name: "whole"), killed = try TinyRun(place, name: "killed")
    #expect(try place.run(whole.train(steps: Self.steps, Self.settings)).code == 0)

    let process = try place.start(killed.train(steps: Self.steps, Self.settings))
    #expect(process.waits { !killed.checkpoints().isEmpty }, "no checkpoint appeared")
    process.send(SIGKILL)
    #expect(process.wait().signal == SIGKILL)
    #expect(!killed.holds("checkpoints/step-00000150"), "the run ended before it was killed")

    let resumed = try place.run(killed.train(steps: Self.steps, Self.settings + ["--resume"]))
    #expect(resumed.code == 0, "\(resumed)")
    let losses = try killed.losses()
    #expect(losses.map(\.step) == Array(1...Self.steps))
    #expect(try losses == whole.losses(), "the losses of the resumed run are bit-identical")
  }

  @Test(arguments: [SIGINT, SIGTERM]) func interruptSavesAndEndsWell(signal: Int32) throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    let process = try place.start(run.train(steps: 10_000_000, Self.settings))
    #expect(process.waits { !run.checkpoints().isEmpty }, "no checkpoint appeared")
    process.send(signal)
    let outcome = process.wait()
    #expect(outcome.code == 0 && !outcome.showsCrash, "\(outcome)")
    let last = try #require(try run.losses().last?.step)
    #expect(try run.events("finished").last?["reason"]?.string == "interrupted")
    #expect(run.checkpoints().last == "step-" + String(repeating: "0", count: 8 - "\(last)".count) + "\(last)")
  }

  @Test(arguments: ["model.safetensors", "optimizer.safetensors", "manifest.json"])
  func tornCheckpointIsPassedOver(file: String) throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    #expect(try place.run(run.train(steps: 4, ["--set", "checkpoint.every=2"])).code == 0)
    #expect(run.checkpoints() == ["step-00000002", "step-00000004"])
    let whole = try run.losses()
    #expect(truncate("\(run.folder)/checkpoints/step-00000004/\(file)", 100) == 0)

    let written = try place.run(["generate", "--model", run.folder, "--prompt", "The", "--tokens", "4"])
    #expect(written.code == 0 && written.output.hasPrefix("The"), "\(written)")
    #expect(written.errors.contains("step-00000004"), "no warning: \(written)")

    let resumed = try place.run(run.train(steps: 4, ["--set", "checkpoint.every=2", "--resume"]))
    #expect(resumed.code == 0, "\(resumed)")
    #expect(try run.losses() == whole, "steps 3 and 4 are done again, with the same losses")
    #expect(try run.events("warning").contains { $0["message"]?.string?.contains("step-00000004") == true })
  }
}
