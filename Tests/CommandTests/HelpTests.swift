// Help and version: on standard output, exit code 0.

import Testing

@Suite struct HelpTests {
  static let commands = [
    "quickstart", "train", "generate", "evaluate", "tokenize", "bench", "doctor", "inspect", "convert", "pull",
    "embed", "classify", "rerank", "load", "route",
  ]

  @Test(arguments: commands) func showsExamples(command: String) throws {
    let outcome = try Workplace().run([command, "--help"])
    #expect(outcome.code == 0, "\(outcome)")
    #expect(outcome.errors == "")
    #expect(outcome.output.contains("USAGE: tachornis \(command)"), "\(outcome)")
    if command != "tokenize" { #expect(outcome.output.contains("Example"), "\(outcome)") }
  }

  @Test(arguments: ["learn", "encode", "decode", "count"]) func tokenizeShowsExamples(command: String) throws {
    let outcome = try Workplace().run(["tokenize", command, "--help"])
    #expect(outcome.code == 0 && outcome.output.contains("Example"), "\(outcome)")
  }

  @Test func listsCommands() throws {
    let outcome = try Workplace().run(["--help"])
    #expect(outcome.code == 0)
    for command in HelpTests.commands { #expect(outcome.output.contains("  \(command) "), "\(outcome)") }
  }

  @Test func tellsItsVersion() throws {
    let outcome = try Workplace().run(["--version"])
    #expect(outcome.code == 0 && outcome.output.split(separator: ".").count == 3, "\(outcome)")
  }
}
