import ArgumentParser
import CPUBackend
import Core
import Formats
import FoundationEssentials
import Inference
import Models
import Serving
import Tensors

struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer requests over HTTP, in the way of OpenAI's API.",
    discussion: """
      Examples:
        tachornis serve --model model-Q4_K_M.gguf
        tachornis serve --model runs/book --port 8080 --set running=64 --set cacheMemory=4096
        curl localhost:8000/v1/completions -d '{"prompt": "Once upon", "max_tokens": 20}'

      Endpoints: /v1/chat/completions, /v1/completions, /v1/models, /tokenize, /detokenize, /health, /ready, /version,
      /load, /metrics (Prometheus, vLLM's names). Ctrl-C or SIGTERM takes no more requests, ends those under way and stops.
      """)

  @Option(help: "A run's folder, a checkpoint, a folder as Hugging Face has them, or a .gguf file.")
  var model: String

  @Option(help: "The address to listen on; 0.0.0.0 for all of the machine's.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 takes one that is free.")
  var port = 8000

  @Option(help: "What the model is called in requests; the name of its file or folder if not given.")
  var name: String?

  @Option(help: "A file with a Jinja template for conversations, instead of the model's own.")
  var template: String?

  @Option(
    help: ArgumentHelp(
      "How the model writes calls of tools, if its template does not tell: \(Serve.families), or a name that vLLM knows.",
      valueName: "family"))
  var toolParser: String?

  @Option(
    help: ArgumentHelp(
      "How the model marks its reasoning, if its template does not tell: one of the same families, or none.",
      valueName: "family"))
  var reasoningParser: String?

  @Option(help: "A file with a key in each line, one of which requests must bring.")
  var keys: String?

  @Option(help: "Threads to compute with.")
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "context, stepTokens, running, waiting, cacheMemory (MiB), cacheBlocks or blockSize; may be repeated.",
      valueName: "setting=value"))
  var set: [String] = []

  func validate() throws {
    if !(0...65535).contains(port) { throw ValidationError("--port is \(port); it must be from 0 to 65535.") }
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads); it must be 1 or more.") }
  }

  func run() throws {
    let settings: EngineConfiguration = try ConfigurationLoader.load(overrides: set)
    let accepted = try keys.map(Serve.keys)
    let loaded = try LoadedModel(path: model)
    // A text must not depend on which others are written beside it.
    let backend = CPUBackend(threads: threads, rowInvariant: true)
    DefaultBackend.use(backend)
    let engine = try InferenceEngine(loaded.pretrained, settings, backend: backend)
    let template = try chatTemplate(loaded)
    let service = APIService(
      engine, name: name ?? Serve.name(of: model), template: template, family: try family(template),
      version: Tachornis.version, keys: accepted ?? [])
    // Threads compute; one loop reads and writes.
    let server = try HTTPServer(host: host, port: port, loops: 1, handle: service.handle)
    Interrupt.watch()
    writeOutput(
      "Serving \(service.name) on http://\(host):\(server.port) (context \(engine.context), cache "
        + "\(engine.cacheBytes >> 20) MiB)\n")
    Interrupt.wait()
    Failure.writeError("Ending: no more requests are taken.\n")
    // /ready says no from here on; then nobody new comes in, and the last answers go out before the sockets are closed.
    service.drain()
    server.shutdown(after: 1)
  }

  private func chatTemplate(_ loaded: LoadedModel) throws -> ChatTemplate? {
    let own = try? loaded.pretrained.chatTemplate()
    guard let template else { return own }
    let text = try textFile(template, "--template")
    return try ChatTemplate(text, specialTokens: own?.specialTokens ?? JSONObject())
  }

  private static let families = StreamFamily.all.keys.sorted().joined(separator: ", ")

  /// How the model marks reasoning and calls.
  private func family(_ template: ChatTemplate?) throws -> StreamFamily {
    func named(_ name: String, _ option: String) throws -> StreamFamily {
      guard let family = StreamFamily(named: name) else {
        throw ValidationError("\(option) \(name): there is no such family; there are \(Serve.families).")
      }
      return family
    }
    var family = try toolParser.map { try named($0, "--tool-parser") } ?? StreamFamily(template: template)
    if let reasoningParser {
      family = family.reasoning(as: try named(reasoningParser, "--reasoning-parser").reasoning)
    }
    return family
  }

  private static func name(of path: String) -> String {
    let last = path.split(separator: "/").last.map(String.init) ?? path
    return last.lowercased().hasSuffix(".gguf") ? String(last.dropLast(5)) : last
  }

  private static func keys(_ file: String) throws -> Set<String> {
    let lines = try textFile(file, "--keys").split(whereSeparator: \.isNewline).map(String.init)
    let keys = Set(lines.filter { !$0.isEmpty && !$0.hasPrefix("#") })
    if keys.isEmpty { throw ValidationError("--keys: \(file) holds no key.") }
    return keys
  }
}
