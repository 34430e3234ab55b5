// What a service tells of itself and of its tokens: the page, whether it is ready, its models, counts and times; and texts as tokens.

internal import Core
internal import Formats
internal import Inference

extension APIService {
  func page(_ request: HTTPRequest, _ responder: HTTPResponder) { responder.send(Page.reply) }
  func health(_ request: HTTPRequest, _ responder: HTTPResponder) { responder.send(text: "") }

  func ready(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    if isDraining { throw APIError(.unavailable, "The server is being stopped.", code: "stopping") }
    if !isReady { throw APIError(.unavailable, "The model is being brought into memory.", code: "starting") }
    responder.send(text: "")
  }

  func tellVersion(_ request: HTTPRequest, _ responder: HTTPResponder) {
    responder.send(json: ["version": .string(settings.version)])
  }

  func tellLoad(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let statistics = statistics
    responder.send(json: ["server_load": .number(JSONNumber(statistics.waiting + statistics.running))])
  }

  func tellMetrics(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let text = metrics.text(statistics, model: name, bottlenecks: monitor.current, settings.transfer?.counts)
    responder.send(HTTPReply(200, "text/plain; version=0.0.4; charset=utf-8", Array(text.utf8)))
  }

  func listModels(_ request: HTTPRequest, _ responder: HTTPResponder) {
    responder.send(json: ["object": "list", "data": .array([ownModel] + adapterModels)])
  }

  func describeModel(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    responder.send(json: request.parameter == name ? ownModel : try adapterModel(request.parameter))
  }

  func tokenize(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let text = try fields.required("prompt", fields.string("prompt"))
    let tokens = tokenizer.encode(text, addingSpecials: try fields.flag("add_special_tokens") ?? true)
    try fields.finish()
    responder.send(json: [
      "count": .number(JSONNumber(tokens.count)), "max_model_len": .number(JSONNumber(context)),
      "tokens": .array(tokens.map { .number(JSONNumber($0)) }),
    ])
  }

  func detokenize(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let tokens = try fields.required("tokens", fields.tokens("tokens"))
    try fields.finish()
    responder.send(json: ["prompt": .string(tokenizer.decode(tokens))])
  }
}
