import ArgumentParser

// The executable: one file a command, and the only place that picks devices and prints.

@main
struct Tachornis: ParsableCommand {
  static let version = "0.2.0"

  static let configuration = CommandConfiguration(
    commandName: "tachornis",
    abstract: "Train a language model from a text file, sample it, take it anywhere.",
    discussion: """
      tachornis quickstart                a model in two minutes, from nothing
      tachornis train --data book.txt     the same on your own text
      tachornis generate --model runs/book --prompt "Once"
      tachornis chat --model Qwen3-0.6B   talk with a model that you have downloaded
      tachornis serve --model Qwen3-0.6B  answer requests over HTTP
      """,
    version: Tachornis.version,
    subcommands: [
      Quickstart.self, Train.self, Generate.self, Chat.self, Serve.self, Route.self, Load.self, Evaluate.self,
      Tokenize.self,
      BenchCommand.self,
      Profile.self, Kernels.self,
      Embed.self, Classify.self, Rerank.self, Doctor.self, Inspect.self, Convert.self, Pull.self, Quantize.self,
    ])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      Failure.exit(error, as: Tachornis.self)
    }
  }
}
