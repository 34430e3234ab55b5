// What is wrong outside gets one message with the remedy on standard error and exit code 2; nothing looks like a crash.

import Core
import FoundationEssentials
import Testing

@Suite struct BadInputTests {
  /// Arguments, in which FILE stands for a good text and so on, and what the message must mention.
  struct Case: Sendable, CustomTestStringConvertible {
    var arguments: [String]
    var mentions: [String]
    var testDescription: String { arguments.joined(separator: " ") }

    init(_ arguments: String, _ mentions: String...) {
      self.arguments = arguments.split(separator: " ").map(String.init)
      self.mentions = mentions
    }
  }

  static let cases: [Case] = [
    // Files
    Case("train --data MISSING", "missing.txt"),
    Case("train --data EMPTY", "empty.txt", "empty"),
    Case("train --data BINARY", "binary.txt", "text"),
    Case("train --data SHORT --set tokenizer=bytes", "tokens"),
    Case("train --data SENTENCES --out /dev/null/run", "/dev/null/run", "--out"),
    Case("train --data SENTENCES --config MISSING", "missing.txt"),
    Case("evaluate --model MISSING --data SENTENCES", "missing.txt", "run's folder"),
    Case("generate --model MISSING --prompt a", "missing.txt", "run's folder"),
    Case("generate --model FOLDER --prompt a", "checkpoint"),
    Case("tokenize count --tokenizer MISSING --data SENTENCES", "missing.txt"),
    Case("inspect MISSING", "missing.txt"),
    Case("inspect BINARY", "binary.txt", "safetensors"),
    Case("inspect FOLDER", "model.safetensors", ".gguf"),
    Case("convert MISSING out.gguf", "missing.txt"),
    Case("convert FOLDER BINARY", "binary.txt", "exists"),
    Case("tokenize count --tokenizer SENTENCES --data SENTENCES", "sentences.txt"),
    Case("tokenize learn --data EMPTY", "empty"),
    // Settings
    Case("train --data SENTENCES --set schedul.peak=1", "schedul"),
    Case("train --data SENTENCES --set model.layer=2", "model.layer", "layers"),
    Case("train --data SENTENCES --set batch=many", "batch", "many"),
    Case("train --data SENTENCES --set batch", "batch"),
    Case("train --data SENTENCES --set batch=0 --set clip=-1 --set data.validation=2", "batch", "clip", "validation"),
    Case("train --data SENTENCES --set model.kvHeads=5", "kvHeads", "divide"),
    Case("train --data SENTENCES --set length=100000", "length", "context"),
    Case("train --data SENTENCES --set tokenizer=morse", "tokenizer", "characters"),
    Case("train --data SENTENCES --model 7000b", "7000b", "124m"),
    // Flags
    Case("train --data SENTENCES --steps -1", "steps"),
    Case("train --data SENTENCES --steps three", "steps"),
    Case("train --data SENTENCES --threads 0", "threads"),
    Case("train --data SENTENCES --frobnicate", "--frobnicate"),
    Case("generate --model FOLDER", "--prompt"),
    Case("generate --model FOLDER --prompt a --temperature -1", "--temperature"),
    Case("generate --model FOLDER --prompt a --top-k 0", "--top-k"),
    Case("generate --model FOLDER --prompt a --top-p 2", "--top-p"),
    Case("generate --model FOLDER --prompt a --set dry.bas=2", "dry.bas", "base"),
    Case("generate --model FOLDER --prompt a --set topK=-1", "topK", "1 or more"),
    Case("bench --check", "--device"),
    Case("bench --device toaster", "toaster"),
    Case("bench --device emulator --threads 2", "--threads"),
    Case("bench --device emulator --filter nonesuch", "nonesuch"),
    Case("profile --trace trace.json", "--trace", "--device"),
    Case("generate --model FOLDER --prompt a --count 0", "--count"),
    Case("generate --model FOLDER --prompt a --count 3 --best-of 2", "--best-of", "3"),
    Case("generate --model FOLDER --prompt a --beams 4 --logprobs 1", "--beams"),
    Case("generate --model FOLDER --prompt a --beams 4 --set topP=0.5", "--beams", "rules"),
    Case("chat --model FOLDER --min-p -1", "--min-p"),
    Case("evaluate --model FOLDER", "--data"),
    Case("quickstart --seconds 0", "--seconds"),
    Case("doctor --threads 0", "--threads"),
    Case("pull", "owner/name"),
    Case("pull a/b/c", "a/b/c", "owner/name"),
    Case("pull a/b --connections 0", "--connections"),
    Case("pull a/b:Q4_0 --file c.gguf", "--file"),
    Case("pull a/b --host ftp://c", "ftp://c", "--host"),
    Case("sing", "sing"),
  ]

  @Test(arguments: cases) func isRefused(_ given: Case) throws {
    let place = try Workplace()
    let files = [
      "MISSING": place.path + "/missing.txt",
      "EMPTY": try place.write([], to: "empty.txt"),
      "BINARY": try place.write((0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 37) }, to: "binary.txt"),
      "SHORT": try place.write("Short.".utf8, to: "short.txt"),
      "SENTENCES": try place.sentences(),
      "FOLDER": place.path,
    ]
    let outcome = try place.run(given.arguments.map { files[$0] ?? $0 })
    expectRefusal(outcome, given.mentions)
  }

  /// Permissions do not stop the superuser.
  @Test(.enabled(if: geteuid() != 0)) func unreadableFile() throws {
    let place = try Workplace()
    let path = try place.sentences()
    chmod(path, 0)
    expectRefusal(try place.run(["train", "--data", path]), ["sentences.txt"])
  }

  /// A run is not overwritten by accident.
  @Test func folderOfAnEarlierRun() throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    #expect(try place.run(run.train(steps: 1)).code == 0)
    expectRefusal(try place.run(run.train(steps: 2)), ["--resume", "--out"])
  }

  /// Going on with another model, or other data, is refused.
  @Test func resumedAsSomethingElse() throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    #expect(try place.run(run.train(steps: 1)).code == 0)
    expectRefusal(try place.run(run.train(steps: 2, ["--resume", "--set", "model.layers=2"])), ["shape"])
    let other = try place.write(String(repeating: "Something else. ", count: 200).utf8, to: "other.txt")
    expectRefusal(try place.run(run.train(steps: 2, ["--resume", "--data", other])), ["data"])
  }

  private func expectRefusal(_ outcome: Outcome, _ mentions: [String]) {
    #expect(outcome.code == 2, "\(outcome)")
    #expect(!outcome.showsCrash, "\(outcome)")
    #expect(outcome.output == "", "\(outcome)")
    #expect(!outcome.errors.isEmpty)
    for mention in mentions { #expect(outcome.errors.contains(mention), "\(mention) is not mentioned: \(outcome)") }
  }
}
