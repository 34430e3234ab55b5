import ArgumentParser
import Core
import Formats
import FoundationEssentials
import Synchronization
import Training

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

struct Pull: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Download a model from a hub.",
    discussion: """
      Examples:
        tachornis pull owner/name
        tachornis pull owner/name-GGUF:Q4_K_M --to models/name
        tachornis generate --model "$(tachornis pull owner/name)" --prompt "Once"

      What was downloaded before is kept; after an interruption the same command goes on where it was. The path to give to
      --model goes to standard output, everything else to standard error. For gated models, put an access token into
      HF_TOKEN or ~/.cache/huggingface/token.
      """)

  @Argument(help: "The model: owner/name, or owner/name:Q4_K_M for one of its GGUF files.")
  var model: HubModel

  @Option(help: "The hub; if not given HF_ENDPOINT, and without that \(HubEndpoint.standardHost).")
  var host: String?

  @Option(help: "A branch, a tag or a commit.")
  var revision = "main"

  @Option(
    help: "Files to take, with * and ?; may be repeated. If not given: weights, configuration, tokenizer and templates.")
  var include: [String] = []

  @Option(help: "Files to leave out, with * and ?; may be repeated.")
  var exclude: [String] = []

  @Option(help: "Take this file only, with the other parts if it is a part of a split GGUF file.")
  var file: String?

  @Option(help: "The folder to put the files into; if not given, one in ~/.cache/tachornis/models.")
  var to: String?

  @Option(help: "Requests at a time.")
  var connections = 8

  func validate() throws {
    if !(1...64).contains(connections) {
      throw ValidationError("--connections is \(connections); it must be from 1 to 64.")
    }
    if file != nil, model.tag != nil || !include.isEmpty {
      throw ValidationError("--file chooses one file; leave out :\(model.tag ?? "tag") and --include, or --file.")
    }
    if model.tag != nil, !include.isEmpty {
      throw ValidationError("':\(model.tag!)' chooses one file; leave out --include, or the tag.")
    }
    if revision.isEmpty || revision.contains(where: \.isWhitespace) {
      throw ValidationError("--revision is '\(revision)'; it must be a branch, a tag or a commit.")
    }
  }

  func run() throws {
    let environment = ProcessInfo.processInfo.environment
    var pull = try HubPull(
      model, revision: revision, endpoint: HubEndpoint(host: host, environment: environment), folder: to,
      environment: environment)
    pull.selection = HubSelection(include: include, exclude: exclude, file: file)
    pull.connections = connections
    Interrupt.watch()
    let sink = PullSink()
    let outcome = Mutex<Result<HubPull.Result, any Error>?>(nil)
    let result = try withExtendedLifetime(outcome) {
      let task = Task { [pull] in
        let result: Result<HubPull.Result, any Error>
        do { result = .success(try await pull.run(events: sink)) } catch { result = .failure(error) }
        outcome.withLock { $0 = result }
      }
      // This thread watches: the display goes on where nothing arrives, and Ctrl-C is heard.
      while true {
        if let result = outcome.withLock({ $0 }) { return result }
        if Interrupt.isAsked { task.cancel() }
        sink.draw()
        usleep(100_000)
      }
    }
    sink.flush()
    switch result {
    case .success(let result): writeOutput(result.path + "\n")
    case .failure(is CancellationError):
      Failure.writeError("interrupted; the same command goes on where it was\n")
      throw ExitCode(130)
    case .failure(let error): throw error
    }
  }
}

extension HubModel: ExpressibleByArgument {
  public init?(argument: String) {
    guard let model = try? HubModel(parsing: argument) else { return nil }
    self = model
  }
}
