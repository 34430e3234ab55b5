// Servers and their router as processes, as an operator starts them.

import Core
import FoundationEssentials
import Support
import Testing

@Suite struct RouteTests {
  /// Starts a command that listens; its address.
  private func start(_ place: Workplace, _ arguments: [String]) throws -> (tool: RunningTool, address: String) {
    let tool = try place.start(arguments + ["--port", "0"])
    #expect(tool.waits(until: { tool.printed.contains("http://") }, seconds: 60))
    return (tool, String(try #require(tool.printed.split(separator: " ").first { $0.hasPrefix("http://") })))
  }

  @Test func promptsAreReadElsewhereAndSettingsReadAgain() throws {
    let place = try Workplace()
    let model = try TinyModel(context: 1024)
    let key = try place.write("shared secret\n".utf8, to: "transfer.key")
    let serve = ["serve", "--model", model.path, "--name", "tiny", "--transfer-key", key, "--threads", "1"]
    let (writer, answers) = try start(place, serve)
    let (reader, reads) = try start(place, serve)
    defer { reader.send(2) }
    let settings = """
      { workers: ["\(answers)"], prefillWorkers: ["\(reads)"], transferKey: "\(key)", prefillTokens: 64 }
      """
    let file = try place.write(settings.utf8, to: "route.json5")
    let (router, address) = try start(place, ["route", "--config", file, "--set", "interval=0.2"])
    // Again until all are answered: workers need a moment until they are ready, and are found to be.
    func load() throws -> Outcome {
      var outcome: Outcome
      var tries = 0
      repeat {
        outcome = try place.run([
          "load", "--url", address, "--requests", "8", "--concurrency", "2", "--input", "400", "--output", "8",
          "--prompts", "characters", "--seed", "\(Int.random(in: 0..<1_000_000))",
        ])
        tries += 1
        if outcome.code != 0 { usleep(300_000) }
      } while outcome.code != 0 && tries < 100
      return outcome
    }
    let first = try load()
    #expect(first.code == 0 && !first.showsCrash, "\(first)")

    // A file that is wrong changes nothing; one that is right is taken without a break.
    _ = try place.write("{ workers: 7 }".utf8, to: "route.json5")
    router.send(1)
    #expect(router.waits(until: { router.complained.contains("Not reloaded, what was in force stays") }, seconds: 60))
    // Now the one that read answers, and the one that answered is gone.
    _ = try place.write("{ workers: [\"\(reads)\"] }".utf8, to: "route.json5")
    router.send(1)
    let again = "Workers, keys and certificates were read again."
    #expect(router.waits(until: { router.complained.contains(again) }, seconds: 60))
    writer.send(2)
    _ = writer.wait(seconds: 20)
    let second = try load()
    #expect(second.code == 0 && !second.showsCrash, "\(second)")
    router.send(2)
    let end = router.wait(seconds: 20)
    #expect(end.code == 0 && end.output.contains("to 2 workers"), "\(end)")
  }

  @Test func whatIsMissingIsSaid() throws {
    let place = try Workplace()
    let nobody = try place.run(["route"])
    #expect(nobody.code != 0 && nobody.errors.contains("--workers"), "\(nobody)")
    let unkeyed = try place.run(["route", "--workers", "a:1", "--prefill-workers", "b:1"])
    #expect(unkeyed.code != 0 && unkeyed.errors.contains("transferKey"), "\(unkeyed)")
    let missing = try place.run(["route", "--workers", "a:1", "--transfer-key", "nowhere"])
    #expect(missing.code != 0 && missing.errors.contains("nowhere"), "\(missing)")
  }
}
