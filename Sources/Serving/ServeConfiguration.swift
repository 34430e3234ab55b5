// Everything that an operator chooses about a server, as one value.

public import Core
public import Inference

/// A server of one model.
public struct ServeConfiguration: Configuration {
  /// A run's folder, a checkpoint, a folder as Hugging Face has them, or a .gguf file.
  public var model = ""
  /// What the model is called in requests; nil: as its file or folder is.
  public var name: String?
  /// The address to listen on; 0.0.0.0 for all of the machine's.
  public var host = "127.0.0.1"
  /// 0: any that is free.
  public var port = 8000
  /// A file with a Jinja template for conversations; nil: the model's own.
  public var template: String?
  /// How the model writes calls of tools, and marks its reasoning, by names of families; nil: as its template tells.
  public var toolParser: String?
  public var reasoningParser: String?
  /// A file with the keys of which a request must bring one; nil: none is needed.
  public var keys: String?
  /// PEM files with the server's certificate and its private key; nil: without TLS.
  public var tlsCertificate: String?
  public var tlsKey: String?
  /// A smaller model of the same vocabulary, or a folder with a head for the model, for `engine.speculation` by draft.
  public var draftModel: String?
  /// Adapters (LoRA) by the names that requests give as their model: folders of PEFT, or .gguf files.
  public var adapters: [String: String] = [:]
  /// Requests may load adapters from this machine's disk, and unload them.
  public var allowAdapterLoading = false
  /// Threads to compute with; nil: all processors.
  public var threads: Int?
  public var device = DeviceChoice.cpu
  public var http = HTTPConfiguration()
  public var engine = EngineConfiguration()
  public var observation = ObservationConfiguration()
  public var transfer = TransferConfiguration()

  public init() {}

  /// What the model is called in requests.
  public var servedName: String {
    if let name { return name }
    let last = model.split(separator: "/").last.map(String.init) ?? model
    return last.lowercased().hasSuffix(".gguf") ? String(last.dropLast(5)) : last
  }

  public func problems() -> [ConfigurationProblem] {
    check((0...65535).contains(port), "port", port, "must be from 0 to 65535")
    check(threads.map { $0 > 0 && $0 <= 1024 } ?? true, "threads", threads ?? 0, "must be from 1 to 1024")
    check(
      (draftModel != nil) == (engine.speculation == .draft), "draftModel", draftModel ?? "null",
      "must be given with engine.speculation draft, and only with it")
    check(
      transfer.key == nil || engine.speculation != .draft, "transfer.key", transfer.key ?? "",
      "cannot be used with a drafting model, whose keys and values do not move")
    check(
      (tlsCertificate == nil) == (tlsKey == nil), "tlsKey", tlsKey ?? "null",
      "must be given with tlsCertificate, and only with it")
    for (adapter, path) in adapters.sorted(by: { $0.key < $1.key }) {
      check(
        !adapter.isEmpty && adapter != servedName && !path.isEmpty, "adapters.\(adapter)", path,
        "must be a path, and the name another than the model's")
    }
  }
}
