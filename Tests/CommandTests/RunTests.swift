// From text to a model to text again, as a user does it.

import Core
import FoundationEssentials
import Testing

@Suite struct RunTests {
  @Test func trainsGeneratesEvaluatesAndGoesOn() throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    let trained = try place.run(run.train(steps: 4))
    #expect(trained.code == 0 && !trained.showsCrash, "\(trained)")

    for name in ["config.json5", "events.jsonl", "report.html"] { #expect(run.holds(name), "\(name) is missing") }
    for name in ["config.json", "model.safetensors", "tokenizer.json", "optimizer.safetensors", "manifest.json"] {
      #expect(run.holds("checkpoints/step-00000004/\(name)"), "\(name) is missing")
    }
    let steps = try run.events("step")
    #expect(steps.map { $0["step"]?.integer } == [1, 2, 3, 4])
    for key in ["loss", "learningRate", "gradientNorm", "tokensPerSecond", "seconds"] {
      #expect(steps.allSatisfy { $0[key]?.double?.isFinite == true }, "\(key): \(steps)")
    }
    #expect(try run.events("evaluation").last?["loss"]?.double ?? 0 > 0)
    #expect(try run.events("finished").last?["reason"]?.string == "completed")

    let sampling = ["--tokens", "12", "--seed", "3", "--threads", "1"]
    let written = try place.run(["generate", "--model", run.folder, "--prompt", "The cat"] + sampling)
    #expect(written.code == 0 && written.errors == "" && written.output.hasPrefix("The cat"), "\(written)")
    let again = try place.run(["generate", "--model", run.folder, "--prompt", "The cat"] + sampling)
    #expect(again.output == written.output, "the same seed gives the same text")

    let evaluated = try place.run(["evaluate", "--model", run.folder, "--data", run.data, "--threads", "1"])
    #expect(evaluated.code == 0 && evaluated.errors == "" && evaluated.output.hasSuffix("\n"), "\(evaluated)")
    let json = try JSONValue(parsing: evaluated.output)
    let loss = try #require(json["loss"]?.double)
    #expect(loss > 0 && abs((json["perplexity"]?.double ?? 0) / exp(loss) - 1) < 1e-9, "\(evaluated)")
    #expect(json["tokens"]?.integer ?? 0 > 1000)

    let resumed = try place.run(run.train(steps: 6, ["--resume"]))
    #expect(resumed.code == 0, "\(resumed)")
    #expect(try run.losses().map(\.step) == [1, 2, 3, 4, 5, 6])
    #expect(run.checkpoints().last == "step-00000006")
  }

  @Test func settingsReachTheRunAndAreKept() throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    let settings = ["--seed", "7", "--set", "checkpoint.every=1", "--set", "optimizer=muon"]
    let trained = try place.run(run.train(steps: 2, settings))
    #expect(trained.code == 0, "\(trained)")
    let kept = try String(decoding: Data(contentsOf: URL(filePath: run.folder + "/config.json5")), as: UTF8.self)
    for part in ["seed: 7", "every: 1", "muon", "steps: 2"] {
      #expect(kept.contains(part), "\(part) is not in \(kept)")
    }
    #expect(run.checkpoints() == ["step-00000001", "step-00000002"])
  }

  @Test func resumeWithoutACheckpointStartsAfresh() throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    let trained = try place.run(run.train(steps: 2, ["--resume"]))
    #expect(trained.code == 0, "\(trained)")
    #expect(try run.losses().map(\.step) == [1, 2])
  }

  /// The file that comes with a tokenizer is read by the other commands, and what was text is the same text again.
  @Test func tokenizesThereAndBack() throws {
    let place = try Workplace()
    let text = try place.sentences()
    let path = place.path + "/tokenizer.json"
    let learned = try place.run(["tokenize", "learn", "--data", text, "--vocabulary", "300", "--out", path])
    #expect(learned.code == 0, "\(learned)")
    let encoded = try place.run(["tokenize", "encode", "--tokenizer", path, "--data", text])
    let tokens = try place.write(encoded.output.utf8, to: "tokens.txt")
    let decoded = try place.run(["tokenize", "decode", "--tokenizer", path, "--data", tokens])
    #expect(decoded.output == String(decoding: try Data(contentsOf: URL(filePath: text)), as: UTF8.self))
    let counted = try place.run(["tokenize", "count", "--tokenizer", path, "--data", text])
    #expect(try JSONValue(parsing: counted.output)["tokens"]?.integer == encoded.output.split(separator: " ").count)
  }

  @Test func doctorTellsWhatWillBeUsed() throws {
    let outcome = try Workplace().run(["doctor", "--threads", "1"])
    #expect(outcome.code == 0 && outcome.errors == "", "\(outcome)")
    for word in ["processor", "memory", "instruction sets", "GFLOP/s"] {
      #expect(outcome.output.contains(word), "\(outcome)")
    }
  }
}
