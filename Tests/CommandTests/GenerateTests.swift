// What `generate` makes of its options, with a model of some thousand parameters.

import Core
import Testing

@Suite struct GenerateTests {
  @Test func writesAsItIsTold() throws {
    let place = try Workplace()
    let run = try TinyRun(place)
    #expect(try place.run(run.train(steps: 2)).code == 0)
    func generate(_ options: String...) throws -> String {
      let outcome = try place.run(
        ["generate", "--model", run.folder, "--prompt", "The", "--tokens", "12", "--threads", "1"] + options)
      #expect(outcome.code == 0 && outcome.errors == "", "\(outcome)")
      return outcome.output
    }
    let text = try generate("--seed", "5")
    #expect(text.hasPrefix("The") && text.hasSuffix("\n"))

    // Several texts: the first is that of one, the others are others.
    let several = try generate("--seed", "5", "--count", "3")
    let texts = several.split(separator: "---\n").map(String.init)
    #expect(texts.count == 3 && texts[0] == text && texts[1] != text && texts[1] != texts[2], "\(several)")

    // The best of three is one of them.
    let best = try generate("--seed", "5", "--best-of", "3")
    #expect(texts.contains(best), "\(best) is none of \(texts)")

    // A character that is in the text ends it.
    let written = text.dropFirst("The".count).dropLast()
    let stop = try #require(written.last.map(String.init))
    let stopped = try generate("--seed", "5", "--stop", stop)
    #expect(stopped == "The" + written.prefix { String($0) != stop } + "\n")

    // The likeliest text does not depend on the seed.
    #expect(try generate("--beams", "3") == generate("--beams", "3", "--seed", "9"))

    // Drafts change nothing; what became of them is said.
    for options in [["--speculation", "lookup"], ["--draft-model", run.folder]] {
      let outcome = try place.run(
        ["generate", "--model", run.folder, "--prompt", "The", "--tokens", "12", "--threads", "1", "--seed", "5"]
          + options
          + ["--count", "3", "--timings"])
      #expect(outcome.code == 0 && outcome.output == several, "\(outcome)")
      #expect(outcome.errors.contains("drafted tokens accepted"), "\(outcome.errors)")
    }

    // A line of JSON for each token.
    let lines = try generate("--seed", "5", "--logprobs", "2").split(separator: "\n").map { line in
      try JSONValue(parsing: String(line))
    }
    #expect(lines.compactMap { $0["text"]?.string }.joined() == written)
    for line in lines {
      let top = try #require(line["top"]?.array).compactMap { $0["logprob"]?.double }
      #expect(top.count == 2 && top[0] >= top[1] && top[0] >= line["logprob"]?.double ?? 1, "\(line)")
    }

    // A rule reaches the sampler.
    let banned = lines[0]["token"]?.integer ?? 0
    let other = try generate("--seed", "5", "--logprobs", "0", "--set", "bannedTokens=[\(banned)]")
    #expect(!other.contains("\"token\":\(banned),"), "\(other)")
  }
}
