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
    abstract: "Answer requests over HTTP, in the ways of OpenAI's and Anthropic's APIs.",
    discussion: """
      Examples:
        tachornis serve --model model-Q4_K_M.gguf
        tachornis serve --model runs/book --port 8080 --set engine.running=64 --set engine.cacheMemory=4096
        tachornis serve --model llama-8b.gguf --draft-model llama-1b.gguf
        tachornis serve --model llama-8b --draft-model eagle3-llama-8b
        tachornis serve --model llama-8b.gguf --speculation suffix --cache-folder cache
        tachornis serve --config serve.json5 --keys keys.json5 --tls-certificate chain.pem --tls-key key.pem
        curl localhost:8000/v1/completions -d '{"prompt": "Once upon", "max_tokens": 20}'

      Endpoints: /v1/chat/completions, /v1/completions, /v1/responses (also in the background), /v1/messages (Anthropic's) and its count_tokens,
      /v1/models, /tokenize, /detokenize, /v1/load_lora_adapter, /v1/unload_lora_adapter, /health, /ready, /version, /load,
      /metrics (Prometheus, vLLM's names); of an encoder /v1/embeddings, /pooling, /v1/score, /v1/rerank and /classify
      instead of those for texts. / is a page to talk to the model and to watch it. Ctrl-C or
      SIGTERM takes no more requests, ends those under way and stops. SIGHUP reads keys, limits and certificates again and
      opens the request log anew; streams go on.
      """)

  @Option(help: "A run's folder, a checkpoint, a folder as Hugging Face has them, or a .gguf file.")
  var model: String?

  @Option(help: "The address to listen on; 0.0.0.0 for all of the machine's.")
  var host: String?

  @Option(help: "The port to listen on, 8000 if not given; 0 takes one that is free.")
  var port: Int?

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

  @Option(help: "A JSON5 file with the keys of which requests must bring one, and the limits of each.")
  var keys: String?

  @Option(help: "A PEM file with the server's certificate, for HTTPS.")
  var tlsCertificate: String?

  @Option(help: "A PEM file with the certificate's private key.")
  var tlsKey: String?

  @Option(help: "The origin whose pages may ask from a browser, as https://chat.example, or *.")
  var corsOrigin: String?

  @OptionGroup var drafting: DraftingOptions

  @Option(help: "A folder that keeps what was read of prompts, for the time after a restart.")
  var cacheFolder: String?

  @Option(
    help: ArgumentHelp(
      "A file with the key that servers share with their router, so that one can read prompts for another (route --prefill-workers).",
      valueName: "file"))
  var transferKey: String?

  @Option(help: ArgumentHelp("A file that gets a line of JSON for each request.", valueName: "file"))
  var requestLog: String?

  @Option(help: ArgumentHelp("Says of requests that take as long where their time went.", valueName: "seconds"))
  var slow: Double?

  @Option(
    help: ArgumentHelp(
      "The address of a collector that gets a trace of each request, as http://localhost:4318 (OTLP).",
      valueName: "address"))
  var traces: String?

  @Option(
    help: ArgumentHelp(
      "An adapter (LoRA) that requests name as their model: a folder of PEFT, or a .gguf file; may be repeated.",
      valueName: "name=path"))
  var adapter: [String] = []

  @Flag(help: "Let requests load adapters from this machine's disk, and unload them.")
  var allowAdapterLoading = false

  @OptionGroup var computing: ComputingOptions

  @Option(help: "A JSON5 file with settings.")
  var config: String?

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Any setting, as engine.running=64, engine.cacheMemory=4096 (MiB) or http.body=1048576; may be repeated.",
      valueName: "path=value"))
  var settings: [String] = []

  func run() throws {
    let settings = try resolved()
    let keys = try settings.keys.map { KeyRing(try ConfigurationLoader.load(file: $0)) }
    let certificate = try settings.tlsCertificate.map { try TLSCertificate(chain: $0, key: settings.tlsKey!) }
    // A text must not depend on which others are written beside it.
    let backend = try Device.backend(settings.device, threads: settings.threads, rowInvariant: true)
    let observers = try Observers(settings.observation, model: settings.servedName)
    let (service, about) = try service(settings, backend, keys, observers)
    // Threads compute; one loop reads and writes.
    let server = try HTTPServer(
      host: settings.host, port: settings.port, loops: 1, settings.http, certificate: certificate,
      refused: service.refused, handle: service.handle)
    Interrupt.watch()
    writeOutput(
      "Serving \(service.name) on http\(certificate == nil ? "" : "s")://\(settings.host):\(server.port) (\(about))\n")
    Interrupt.wait {
      Serve.reload(settings, keys, certificate, service.settings.transfer)
      observers.reopen()
    }
    Failure.writeError("Ending: no more requests are taken.\n")
    // /ready says no from here on; then nobody new comes in, and the last answers go out before the sockets are closed.
    service.drain()
    server.shutdown(after: 1)
    observers.drain()
  }

  /// The file, then --set, then the flags.
  private func resolved() throws -> ServeConfiguration {
    var overrides = settings
    func add(_ path: String, _ value: String?) {
      if let value { overrides.append("\(path)=\(JSONValue.string(value).json)") }
    }
    add("model", model)
    add("host", host)
    if let port { overrides.append("port=\(port)") }
    add("name", name)
    add("template", template)
    add("toolParser", toolParser)
    add("reasoningParser", reasoningParser)
    add("keys", keys)
    add("tlsCertificate", tlsCertificate)
    add("tlsKey", tlsKey)
    add("http.corsOrigin", corsOrigin)
    add("draftModel", drafting.draftModel)
    add("engine.speculation", (drafting.speculation ?? drafting.draftModel.map { _ in .draft })?.rawValue)
    add("engine.cacheFolder", cacheFolder)
    add("transfer.key", transferKey)
    add("observation.requestLog", requestLog)
    if let slow { overrides.append("observation.slow=\(slow)") }
    add("observation.traces", traces)
    for given in adapter {
      let parts = given.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ValidationError("--adapter is '\(given)'; it must be NAME=PATH.") }
      overrides.append("adapters=\(JSONValue.object(JSONObject([(parts[0], .string(parts[1]))])).json)")
    }
    if allowAdapterLoading { overrides.append("allowAdapterLoading=true") }
    overrides += computing.settings
    let result: ServeConfiguration = try ConfigurationLoader.load(file: config, overrides: overrides)
    if result.model.isEmpty { throw ValidationError("There is no model to serve: give --model PATH.") }
    return result
  }

  /// What can change while requests are under way; what cannot be read stays as it was.
  private static func reload(
    _ settings: ServeConfiguration, _ keys: KeyRing?, _ certificate: TLSCertificate?, _ transfer: CacheTransfer?
  ) {
    do {
      // All is read before anything is replaced.
      let key = try transfer.flatMap { _ in try settings.transfer.key.map { try secret($0, "--transfer-key") } }
      let ring: KeysConfiguration? = try keys.flatMap { _ in
        try settings.keys.map { try ConfigurationLoader.load(file: $0) }
      }
      try certificate?.reload()
      if let transfer, let key { transfer.replace(key: key) }
      if let keys, let ring { keys.replace(ring) }
      Failure.writeError("Keys, limits and certificates were read again.\n")
    } catch {
      Failure.writeError("Not reloaded, what was in force stays: \(error)\n")
    }
  }

  /// What answers, and a few words about it.
  private func service(
    _ settings: ServeConfiguration, _ backend: any Backend, _ keys: KeyRing?, _ observers: Observers
  ) throws -> (APIService, String) {
    var about = APISettings(name: settings.servedName, version: Tachornis.version)
    about.keys = keys
    (about.observer, about.recordsRequests) = (observers.sink, observers.recordRequests)
    if (try? PretrainedEncoder(path: settings.model)) != nil {
      let writes = settings.draftModel != nil || settings.template != nil || settings.engine.speculation != .none
      let keeps = settings.engine.cacheFolder != nil || settings.transfer.key != nil
      if writes || keeps || !settings.adapters.isEmpty || settings.allowAdapterLoading {
        throw ValidationError(
          "\(settings.model) is an encoder, which writes no texts: adapters, drafts, a template, a cache folder and a transfer key have no use."
        )
      }
      let engine = try PoolingEngine(path: settings.model, backend: backend)
      return (APIService(nil, encoder: engine, about), "an encoder of texts of \(engine.texts.limit) tokens")
    }
    let loaded = try LoadedModel(path: settings.model)
    let draft = try settings.draftModel.map { try DraftSource(path: LoadedModel.resolve($0), for: loaded.pretrained) }
    about.transfer = try settings.transfer.key.map {
      try CacheTransfer(
        key: secret($0, "--transfer-key"), authority: settings.transfer.authority, patience: settings.transfer.patience)
    }
    let engine = try InferenceEngine(
      loaded.pretrained, draft: draft, settings.engine, movesBlocks: about.transfer != nil, backend: backend)
    for (name, path) in settings.adapters.sorted(by: { $0.key < $1.key }) { try engine.load(adapter: name, path: path) }
    about.template = try chatTemplate(loaded, settings.template)
    about.family = try Serve.family(settings, about.template)
    about.poolsLastToken = Serve.poolsLastToken(settings.model)
    about.allowsAdapterLoading = settings.allowAdapterLoading
    return (APIService(engine, about), "context \(engine.context), cache \(engine.cacheBytes >> 20) MiB")
  }

  /// Whether the files of sentence-transformers in a decoder's folder say that its last state, normalized, is a vector.
  private static func poolsLastToken(_ folder: String) -> Bool {
    func json(_ name: String) -> JSONValue? {
      guard let file = try? MappedFile(path: "\(folder)/\(name)") else { return nil }
      return file.withBytes { try? JSONValue(parsing: $0) }
    }
    let modules = json("modules.json")?.array ?? []
    let types = modules.map { $0["type"]?.string?.split(separator: ".").last.map(String.init) ?? "" }
    guard types == ["Transformer", "Pooling", "Normalize"] else { return false }
    let pooling = json("\(modules[1]["path"]?.string ?? "")/config.json")
    return pooling?["pooling_mode_lasttoken"] == true || pooling?["pooling_mode"] == "lasttoken"
  }

  private func chatTemplate(_ loaded: LoadedModel, _ template: String?) throws -> ChatTemplate? {
    let own = try? loaded.pretrained.chatTemplate()
    guard let template else { return own }
    let text = try textFile(template, "--template")
    return try ChatTemplate(text, specialTokens: own?.specialTokens ?? JSONObject())
  }

  private static let families = StreamFamily.all.keys.sorted().joined(separator: ", ")

  /// How the model marks reasoning and calls.
  private static func family(_ settings: ServeConfiguration, _ template: ChatTemplate?) throws -> StreamFamily {
    func named(_ name: String, _ option: String) throws -> StreamFamily {
      guard let family = StreamFamily(named: name) else {
        throw ValidationError("\(option) \(name): there is no such family; there are \(Serve.families).")
      }
      return family
    }
    var family = try settings.toolParser.map { try named($0, "--tool-parser") } ?? StreamFamily(template: template)
    if let parser = settings.reasoningParser {
      family = family.reasoning(as: try named(parser, "--reasoning-parser").reasoning)
    }
    return family
  }
}
