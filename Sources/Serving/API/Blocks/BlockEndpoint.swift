// POST /v1/cache/blocks: reads a text for another worker and sends the blocks of its cache, as they are computed.
//
//     { form: "6f1c…", tokens: [1, 2, …], from: 0, cache_salt: "", user: "", priority: 0 }
//
// For workers and routers, which share a key of their own; clients have no use for it.

internal import Core
internal import Inference
internal import NIOCore

extension APIService {
  func giveBlocks(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    guard let transfer = settings.transfer, let form = try engine.blockForm else {
      throw APIError(
        .forbidden, "Blocks of the cache are not given here: start the server with --transfer-key FILE.",
        code: "transfer_not_allowed")
    }
    guard transfer.isKnown(request) else {
      throw APIError(
        .unauthorized,
        "Blocks of the cache are given to whoever brings the servers' own key: '\(CacheTransfer.keyHeader): KEY'.",
        code: "invalid_transfer_key")
    }
    var fields = try Fields(body: request.body)
    let wanted = try fields.required("form", fields.string("form"))
    let tokens = try fields.required("tokens", fields.tokens("tokens"))
    let first = try fields.integer("from", 0...(1 << 24)) ?? 0
    var reading = GenerationRequest(prompt: tokens, limit: 1)
    reading.salt = try fields.short("cache_salt") ?? ""
    reading.tenant = try fields.short("user") ?? ""
    reading.priority = try fields.integer("priority", -1000...1000) ?? 0
    try fields.finish()
    if wanted != form.fingerprint {
      throw APIError(
        .conflict,
        "This server's cache is of form \(form.fingerprint), not \(wanted.prefix(64)): model, types, block size or instructions differ.",
        parameter: "form", code: "cache_form_mismatch")
    }
    let engine = try engine
    let task = Task { [reading] in await give(reading, from: first, form, transfer, engine, responder) }
    responder.whenGone { task.cancel() }
  }

  private func give(
    _ reading: GenerationRequest, from first: Int, _ form: BlockForm, _ transfer: CacheTransfer,
    _ engine: InferenceEngine, _ responder: HTTPResponder
  ) async {
    let keys = MovedText(tokens: reading.prompt, salt: reading.salt).keys(blockSize: form.tokens)
    var next = first
    func begin() {
      responder.begin(contentType: "application/octet-stream")
      responder.write(ByteBuffer(bytes: BlockStreamReader.head(form, first: first)))
    }
    let most = max(1, CacheTransfer.givenPiece / max(1, form.bytes))
    let problem = await engine.read(reading, from: first, most: most) { blocks in
      if next == first { begin() }
      var bytes = ByteBuffer()
      bytes.reserveCapacity(blocks.count * (form.bytes + BlockRecord.headerBytes))
      for block in blocks {
        bytes.writeBytes(BlockRecord.header(keys[next], block))
        bytes.writeBytes(block)
        next += 1
      }
      transfer.gave(blocks.count)
      // No more is copied than the other worker takes.
      return await responder.deliver(bytes) && !Task.isCancelled
    }
    if next > first { return responder.end() }
    switch problem {
    case .refused(let refusal)?: fail(APIError(refusal), responder)
    case .failed(let message)?: fail(APIError(.failed, message), responder)
    default:
      begin()
      responder.end()
    }
  }

  private func fail(_ error: APIError, _ responder: HTTPResponder) {
    refused(error)
    responder.send(error.reply)
  }
}
