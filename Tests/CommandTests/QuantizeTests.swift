// Quantising as a user does it: results are whole or absent, and what cannot be done is said first.

import Core
import FoundationEssentials
import Testing

@Suite struct QuantizeTests {
  /// A model with bytes as tokens, so that it can become a GGUF file.
  private func model(_ place: Workplace) throws -> (data: String, folder: String) {
    let run = try TinyRun(place)
    let outcome = try place.run(run.train(steps: 1, ["--set", "tokenizer=bytes"]))
    #expect(outcome.code == 0, "\(outcome)")
    return (run.data, run.folder)
  }

  @Test func formatsAndMethods() throws {
    let place = try Workplace()
    let (data, model) = try model(place)
    for (index, arguments) in [
      "--to int8", "--to int4 --method gptq --order --calibration DATA --windows 4", "--to q4_k_m",
      "--to int4 --group 0 --method awq --calibration DATA --windows 4", "--to Q8_0 --keep embed_tokens",
    ].enumerated() {
      let out = "\(place.path)/out-\(index)" + (arguments.lowercased().contains("to q") ? ".GGUF" : "")
      let words = arguments.split(separator: " ").map { $0 == "DATA" ? data : String($0) }
      let outcome = try place.run(["quantize", "--model", model, "--evaluate", data, "--out", out + "/"] + words)
      #expect(outcome.code == 0, "\(outcome)")
      #expect(outcome.output.contains("perplexity"), "\(outcome)")
      #expect(outcome.errors.contains("layer 0"), "\(outcome)")
      for more in [["--exact"], ["--cache", "int8"]] {
        let read = try place.run(["evaluate", "--model", out.hasSuffix("GGUF") ? model : out, "--data", data] + more)
        #expect(read.code == 0 && read.output.contains("perplexity"), "\(read)")
      }
    }
    let left = try FileManager.default.contentsOfDirectory(atPath: place.path).filter { $0.contains("partial") }
    #expect(left.isEmpty)
  }

  /// What follows --model, and what the message must mention.
  private static let refused = [
    ("--to q4_0 --out OUT", ".gguf"), ("--to int4 --out OUT.gguf", "folder"),
    ("--to q4_0 --out OUT.gguf --method awq --calibration DATA", "int4 and int8"),
    ("--to q4_0 --out OUT.gguf --group 64", "--group"), ("--to int4 --out OUT --group 48", "--group"),
    ("--to int4 --out OUT --method awq", "--calibration"), ("--to int4 --out OUT --calibration DATA", "--calibration"),
    ("--to int4 --out OUT --order", "--order"), ("--to int4 --out OUT --no-clip", "--no-clip"),
    ("--to int3 --out OUT", "int3"), ("--to int4 --out DATA", "exists"), ("--to int4 --out MISSING/a", "no folder"),
    ("--to int4 --out OUT --evaluate MISSING", "missing"),
    ("--to int4 --out OUT --keep embed --keep nonesuch", "nonesuch"),
    ("--to q4_0 --out OUT.gguf --keep nonesuch", "nonesuch"),
    ("--to int4 --out OUT --method gptq --calibration MISSING", "missing"),
    ("--to int4 --out OUT --method gptq --calibration SHORT", "tokens"),
  ]

  @Test func whatCannotBeIsSaidFirst() throws {
    let place = try Workplace()
    let (data, model) = try model(place)
    let names = [
      "OUT": place.path + "/out", "DATA": data, "MISSING": place.path + "/missing",
      "SHORT": try place.write("a".utf8, to: "short.txt"),
    ]
    let before = try FileManager.default.contentsOfDirectory(atPath: place.path).filter { !$0.hasPrefix(".") }
    for (arguments, mention) in Self.refused {
      let words = arguments.split(separator: " ").map { word in
        names.reduce(String(word)) { $0.replacing($1.key, with: $1.value) }
      }
      let outcome = try place.run(["quantize", "--model", model] + words)
      #expect(outcome.code == 2 && !outcome.showsCrash, "\(arguments): \(outcome)")
      #expect(outcome.errors.contains(mention), "\(arguments): \(outcome)")
      #expect(!outcome.errors.contains("layer 0"), "\(arguments): \(outcome)")
    }
    let after = try FileManager.default.contentsOfDirectory(atPath: place.path).filter { !$0.hasPrefix(".") }
    #expect(after.sorted() == before.sorted())
  }

  @Test(arguments: [SIGINT, SIGTERM]) func interruptedItLeavesNothing(signal: Int32) throws {
    let place = try Workplace()
    let (_, model) = try model(place)
    let long = try place.write(String(repeating: "Something that takes a while. ", count: 100_000).utf8, to: "long.txt")
    let process = try place.start(
      ["quantize", "--model", model, "--to", "int4", "--method", "gptq", "--calibration", long, "--windows", "1000000"]
        + ["--out", place.path + "/out"])
    let hasBegun = process.waits {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: place.path)) ?? []
      return names.filter { $0.hasSuffix(".err") }.contains { name in
        (try? String(contentsOfFile: "\(place.path)/\(name)", encoding: .utf8))?.contains("calibration: ") == true
      }
    }
    #expect(hasBegun)
    process.send(signal)
    let outcome = process.wait()
    #expect(outcome.code == 2 && outcome.errors.contains("Interrupted"), "\(outcome)")
    let left = try FileManager.default.contentsOfDirectory(atPath: place.path).filter { $0.contains("out") }
    #expect(left.allSatisfy { $0.hasPrefix(".process-") }, "\(left)")
  }
}
