import ArgumentParser
import Core
import Formats
import FoundationEssentials
import Synchronization
import Training

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
      HF_TOKEN or ~/.cache/huggingface/token. SSL_CERT_FILE (certificates to trust), HTTPS_PROXY and NO_PROXY are heeded.
      """)

  @Argument(help: "The model: owner/name, or owner/name:Q4_K_M for one of its GGUF files.")
  var model: String

  @Option(help: "The hub; if not given HF_ENDPOINT, and without that \(HubEndpoint.standardHost).")
  var host: String?

  @Option(help: "A branch, a tag or a commit.")
  var revision = "main"

  @Option(
    help: "Files to take, with * and ?; may be repeated. If not given: weights, configuration, tokenizer and templates."
  )
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
    let model = try HubModel(parsing: model)
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
      HubModel(parsing: model), revision: revision, endpoint: HubEndpoint(host: host, environment: environment),
      folder: to, environment: environment)
    pull.selection = HubSelection(include: include, exclude: exclude, file: file)
    pull.connections = connections
    Interrupt.watch()
    let sink = PullSink(), outcome = PullOutcome()
    let task = Task { [pull] in
      do { outcome.set(.success(try await pull.run(events: sink).path)) } catch { outcome.set(.failure(error)) }
    }
    // This thread watches: the display goes on where nothing arrives, and Ctrl-C is heard.
    while outcome.path == nil {
      if Interrupt.isAsked { task.cancel() }
      sink.draw()
      usleep(100_000)
    }
    sink.flush()
    switch outcome.path! {
    case .success(let path): writeOutput(path + "\n")
    case .failure(let error):
      guard error is CancellationError else { throw error }
      Failure.writeError("interrupted; the same command goes on where it was\n")
      Pull.exit(withError: ExitCode(130))
    }
  }
}

/// How a download ended, for the thread that waits for it.
private final class PullOutcome: Sendable {
  private let result = Mutex<Result<String, any Error>?>(nil)

  /// The path of what was downloaded; nil before the end.
  var path: Result<String, any Error>? { result.withLock { $0 } }

  func set(_ value: Result<String, any Error>) { result.withLock { $0 = value } }
}
