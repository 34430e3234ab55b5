// What keys and values depend on besides tokens: the model, how they are stored, and who computes them.

internal import Crypto
internal import Models
internal import Networks
internal import Tensors

extension StepRunner {
  /// Bytes at each end of a weight that are looked at.
  private static let sample = 1 << 12

  /// Digits that differ wherever a block's contents would: by the program that computes it, by weights (their ends), and by the
  /// backend, whose instructions round in their own ways.
  static func fingerprint(
    _ model: any LanguageModel, _ weights: WeightBinding, _ limits: Scheduler.Limits, _ storage: CacheStorage,
    backend: any Backend
  ) -> String {
    // Of one row and one block: sizes of pools and steps change no contents.
    var one = Scheduler.Limits(context: limits.blockSize, blocks: 1)
    (one.blockSize, one.tokens, one.running) = (limits.blockSize, 1, 1)
    let graph = trace(model, weights.store, one, storage)
    let given = weights.store.parameters.map { weights.store.given($0.name) }
    let program = Program(
      inputs: graph.layout.inputs + given + graph.caches.map(\.past), outputs: graph.caches.map(\.new))
    var hash = SHA256()
    // What a model turns keys by may depend on how long texts can become.
    let capacity = (limits.context + limits.blockSize - 1) / limits.blockSize * limits.blockSize
    let isShort = model.shortTexts.map { capacity <= $0 } ?? true
    hash.update(data: Array("\(backend.arithmetic)\n\(isShort)\n\(program)\n".utf8))
    for instruction in program.instructions {
      if case .constant(.data(let data)) = instruction.op {
        hash.update(bufferPointer: UnsafeRawBufferPointer(data.bytes))
      }
    }
    for value in weights.values {
      let bytes = UnsafeRawBufferPointer(value.bytes)
      hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes.prefix(sample)))
      hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes.suffix(sample)))
    }
    return hash.finalize().prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
