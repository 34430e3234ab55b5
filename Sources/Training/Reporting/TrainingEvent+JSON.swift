// Training events as JSON objects: what stands in events.jsonl.
//
// Invariant: every event survives writing and reading, except that a number that is not finite is written as null and
// read as NaN. Keys that a reader does not know are left alone, so that old programs read new logs.

package import Core

extension TrainingEvent {
  /// The event as one flat object: `{"event":"step","step":1,"loss":...}`.
  package var json: JSONValue {
    var object = JSONObject()
    func set(_ key: String, _ value: Double) { object[key] = .number(JSONNumber(value)) }
    func set(_ key: String, _ value: Int) { object[key] = .number(JSONNumber(value)) }
    func set(_ key: String, _ value: String) { object[key] = .string(value) }
    func begin(_ name: String) {
      set("event", name)
      set("step", step)
    }
    switch self {
    case .started(let run):
      begin("started")
      set("model", run.model)
      set("parameters", run.parameters)
      set("tokensPerStep", run.tokensPerStep)
      set("steps", run.steps)
      if let seconds = run.seconds { set("plannedSeconds", seconds) }
      set("device", run.device)
      set("configuration", run.configuration)
    case .step(let record):
      begin("step")
      set("loss", record.loss)
      set("learningRate", record.learningRate)
      set("gradientNorm", record.gradientNorm)
      set("tokensPerSecond", record.tokensPerSecond)
      set("seconds", record.seconds)
      if let mfu = record.mfu { set("mfu", mfu) }
      if record.skipped { object["skipped"] = .bool(true) }
      if !record.layerGradientNorms.isEmpty {
        object["layerGradientNorms"] = .object(
          JSONObject(record.layerGradientNorms.map { ($0.layer, .number(JSONNumber($0.norm))) }))
      }
    case .evaluation(_, let loss):
      begin("evaluation")
      set("loss", loss)
    case .sample(_, let text):
      begin("sample")
      set("text", text)
    case .checkpoint(_, let path, let seconds):
      begin("checkpoint")
      set("path", path)
      set("seconds", seconds)
    case .warning(_, let message):
      begin("warning")
      set("message", message)
    case .finished(let summary):
      begin("finished")
      set("reason", summary.reason.rawValue)
      set("loss", summary.loss)
      if let loss = summary.evaluationLoss { set("evaluationLoss", loss) }
      set("tokens", summary.tokens)
      set("seconds", summary.seconds)
    }
    return .object(object)
  }

  /// The event that an object tells of; nil if it is no event of this kind.
  package init?(json: JSONValue) {
    guard let step = json["step"]?.integer else { return nil }
    /// A number; null stands for NaN.
    func number(_ key: String) -> Double? { json[key] == .null ? .nan : json[key]?.double }
    switch json["event"]?.string {
    case "started":
      guard let model = json["model"]?.string, let parameters = json["parameters"]?.integer,
        let tokens = json["tokensPerStep"]?.integer, let steps = json["steps"]?.integer,
        let device = json["device"]?.string
      else { return nil }
      self = .started(
        RunDescription(
          model: model, parameters: parameters, tokensPerStep: tokens, steps: steps,
          seconds: number("plannedSeconds"), device: device, resumedFrom: step,
          configuration: json["configuration"]?.string ?? ""))
    case "step":
      guard let loss = number("loss"), let rate = number("learningRate"), let norm = number("gradientNorm"),
        let speed = number("tokensPerSecond"), let seconds = number("seconds")
      else { return nil }
      var layers: [StepRecord.LayerNorm] = []
      for (layer, norm) in json["layerGradientNorms"]?.object ?? JSONObject() {
        layers.append(StepRecord.LayerNorm(layer: layer, norm: norm.double ?? .nan))
      }
      self = .step(
        StepRecord(
          step: step, loss: loss, learningRate: rate, gradientNorm: norm, tokensPerSecond: speed, seconds: seconds,
          mfu: number("mfu"), skipped: json["skipped"]?.bool ?? false, layerGradientNorms: layers))
    case "evaluation":
      guard let loss = number("loss") else { return nil }
      self = .evaluation(step: step, loss: loss)
    case "sample":
      guard let text = json["text"]?.string else { return nil }
      self = .sample(step: step, text: text)
    case "checkpoint":
      guard let path = json["path"]?.string, let seconds = number("seconds") else { return nil }
      self = .checkpoint(step: step, path: path, seconds: seconds)
    case "warning":
      guard let message = json["message"]?.string else { return nil }
      self = .warning(step: step, message: message)
    case "finished":
      guard let reason = json["reason"]?.string.flatMap(RunSummary.Reason.init(rawValue:)), let loss = number("loss"),
        let tokens = json["tokens"]?.integer, let seconds = number("seconds")
      else { return nil }
      self = .finished(
        RunSummary(
          reason: reason, step: step, loss: loss, evaluationLoss: number("evaluationLoss"), tokens: tokens,
          seconds: seconds))
    default: return nil
    }
  }
}
