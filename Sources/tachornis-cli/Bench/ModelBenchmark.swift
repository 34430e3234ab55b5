// How fast a model reads and writes: what `llama-bench` measures.

internal import CPUBackend
internal import Core
internal import Models
internal import Networks
internal import Tensors

/// Reads a prompt of random tokens and writes behind it, again and again, and prints tokens a second and, for writing, the
/// bytes of weights that are read a second, next to what a plain pass over them reads.
/// - Throws: `ModelError` or `FormatsError` if the model cannot be used.
func runModelBenchmark(
  model path: String, prompt: Int, tokens: Int, threads: Int?, json: Bool, seconds: Double, emit: (String) -> Void
) throws {
  let pretrained = try PretrainedModel(path: path)
  let backend = CPUBackend(threads: threads)
  DefaultBackend.use(backend)
  let binding = try pretrained.weights()
  let generator = Generator(
    pretrained.model, binding.store, weights: binding.values, storage: binding.usualStorage, backend: backend)
  var random = RandomSequence(seed: 1, stream: 0)
  let text = (0..<(prompt + tokens)).map { _ in Int32(random.next() % UInt64(pretrained.model.vocabulary)) }
  let start = Array(text.prefix(prompt))
  let reading = try medianTime(seconds: seconds) {
    generator.forget()
    _ = try generator.logits(after: start, expecting: tokens)
  }
  // Memory's rate changes from second to second where others share it, so plain passes are taken in between.
  let clock = ContinuousClock()
  var passes: [Double] = []
  func pass() {
    let start = clock.now
    let bytes = backend.readThrough(binding.values)
    passes.append(Double(bytes) / ((clock.now - start) / .seconds(1)))
  }
  let writing = try medianTime(seconds: seconds, between: pass) {
    generator.forget(beyond: prompt)
    for count in (prompt + 1)...(prompt + tokens) { _ = try generator.logits(after: Array(text.prefix(count))) }
  }
  passes.sort()
  let passRate = passes[passes.count / 2]
  // Of a table of embeddings that is not the head as well, a token reads one row.
  let tables = binding.store.parameters.indices.filter { binding.store.parameters[$0].role == .embedding }
  let unread = tables.count > 1 ? binding.values[tables[0]].type.bytes : 0
  let bytes = binding.values.map(\.type.bytes).reduce(0, +) - unread
  let rates: [(name: String, tokens: Int, rate: Double, bytes: Double)] = [
    ("read", prompt, Double(prompt) / reading, 0),
    ("write", tokens, Double(tokens) / writing, Double(bytes) * Double(tokens) / writing),
  ]
  for (name, count, rate, perSecond) in rates {
    if json {
      let line = JSONObject([
        ("name", .string(name)), ("model", .string(path)), ("tokens", .number(JSONNumber(count))),
        ("tokensPerSecond", .number(JSONNumber(rate))), ("gigabytesPerSecond", .number(JSONNumber(perSecond / 1e9))),
        ("passGigabytesPerSecond", .number(JSONNumber(passRate / 1e9))),
      ])
      emit(JSONValue.object(line).json)
    } else {
      var line = "\(name) \(count) tokens: \(Numerals.significant(rate)) tokens/s"
      if perSecond > 0 {
        line += ", weights at \(Numerals.significant(perSecond / 1e9)) GB/s"
        let share = Int((100 * perSecond / passRate).rounded())
        line += ", \(share) % of the \(Numerals.significant(passRate / 1e9)) of a plain pass"
      }
      emit(line)
    }
  }
}
