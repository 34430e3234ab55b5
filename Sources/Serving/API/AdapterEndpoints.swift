// POST /v1/load_lora_adapter and /v1/unload_lora_adapter, as vLLM has them: adapters come and go while texts are written.
//
// They name folders on the server's disk, and whoever may do so can look into it and fill its memory: only where the operator has
// allowed it.

internal import Core
internal import Inference

extension APIService {
  /// The adapters as models of their own.
  var adapterModels: [JSONValue] {
    ((try? engine)?.adapters ?? []).map { model($0.name, root: $0.path, parent: .string(name)) }
  }

  func adapterModel(_ id: String) throws(APIError) -> JSONValue {
    if let adapter = adapterModels.first(where: { $0["id"]?.string == id }) { return adapter }
    throw APIError(.notFound, "There is no model '\(id)' here, but '\(name)'.", code: "model_not_found")
  }

  private func checkAllowed() throws(APIError) {
    if settings.allowsAdapterLoading { return }
    throw APIError(
      .forbidden, "Adapters are not loaded by request here: start the server with --allow-adapter-loading.",
      code: "adapter_loading_not_allowed")
  }

  func loadAdapter(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    try checkAllowed()
    var fields = try Fields(body: request.body)
    let adapter = try fields.required("lora_name", fields.short("lora_name"))
    let path = try fields.required("lora_path", fields.string("lora_path"))
    let replaces = try fields.flag("load_inplace") ?? false
    try fields.finish()
    if adapter.isEmpty || adapter == name { throw fields.wrong("lora_name", "must be a name, and not the model's") }
    try work(responder) { engine in
      try engine.load(adapter: adapter, path: path, replacing: replaces)
      return "Success: LoRA adapter '\(adapter)' added successfully."
    }
  }

  func unloadAdapter(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    try checkAllowed()
    var fields = try Fields(body: request.body)
    let adapter = try fields.required("lora_name", fields.short("lora_name"))
    fields.ignore("lora_int_id")
    try fields.finish()
    try work(responder) { engine in
      try engine.unload(adapter: adapter)
      return "Success: LoRA adapter '\(adapter)' removed successfully."
    }
  }

  /// Reading takes long, and the engine answers only between two steps.
  private func work(
    _ responder: HTTPResponder, _ work: @escaping @Sendable (InferenceEngine) throws -> String
  ) throws(APIError) {
    let engine = try engine
    responder.aside { [self] in
      do {
        responder.send(text: try work(engine))
      } catch {
        let known = (error as? EngineError)?.code
        let kind: APIError.Kind = known == .unknownAdapter ? .notFound : known == .stopping ? .unavailable : .badRequest
        metrics.count(error: kind.rawValue)
        responder.send(APIError(kind, "\(error)", parameter: "lora_name").reply)
      }
    }
  }
}
