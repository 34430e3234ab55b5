// SentencePiece `.model` files: a protocol buffer (sentencepiece_model.proto), read by field numbers.
//
// Only what encoding and decoding need is read: pieces, and parts of the specifications of trainer and normalizer.

struct SentencePieceFile {
  private var vocabulary = SentencePieceVocabulary()
  private var model = 1
  private var usesByteFallback = false
  private var spaceIsSuffix = false
  private var unknownSurface: [UInt8]?
  private var tokens = (begin: 1, end: 2, padding: -1)

  init(_ text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var message = ProtocolBufferReader(text)
    while let field = try message.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let piece)): try readPiece(piece)
      case (2, .bytes(let trainer)): try readTrainer(trainer)
      case (3, .bytes(let normalizer)): try readNormalizer(normalizer)
      default: break
      }
    }
    guard !vocabulary.pieces.isEmpty else { throw FormatsError(.malformed, "It is not a SentencePiece model.") }
  }

  private mutating func readPiece(_ text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var message = ProtocolBufferReader(text)
    var (piece, score, kind): ([UInt8], Float, Int) = ([], 0, 1)
    while let field = try message.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let bytes)): piece = Array(bytes)
      case (2, .fixed32(let bits)): score = Float(bitPattern: bits)
      case (3, .integer(let value)): kind = Int(truncatingIfNeeded: value)
      default: break
      }
    }
    guard let kind = SentencePieceVocabulary.Kind(rawValue: kind), score.isFinite else {
      throw FormatsError(.malformed, "Piece \(vocabulary.pieces.count) has the kind \(kind) and the score \(score).")
    }
    vocabulary.pieces.append(piece)
    vocabulary.scores.append(score)
    vocabulary.kinds.append(kind)
  }

  private mutating func readTrainer(_ text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var message = ProtocolBufferReader(text)
    while let field = try message.next() {
      switch (field.number, field.value) {
      case (3, .integer(let value)): model = Int(truncatingIfNeeded: value)
      case (24, .integer(let value)): spaceIsSuffix = value != 0
      case (35, .integer(let value)): usesByteFallback = value != 0
      case (41, .integer(let value)): tokens.begin = Int(Int32(truncatingIfNeeded: value))
      case (42, .integer(let value)): tokens.end = Int(Int32(truncatingIfNeeded: value))
      case (43, .integer(let value)): tokens.padding = Int(Int32(truncatingIfNeeded: value))
      case (44, .bytes(let bytes)): unknownSurface = Array(bytes)
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var message = ProtocolBufferReader(text)
    while let field = try message.next() {
      switch (field.number, field.value) {
      case (2, .bytes(let map)): vocabulary.normalizer.map = map.isEmpty ? nil : try CharacterMap(Array(map))
      case (3, .integer(let value)): vocabulary.normalizer.addsDummyPrefix = value != 0
      case (4, .integer(let value)): vocabulary.normalizer.removesExtraSpaces = value != 0
      case (5, .integer(let value)): vocabulary.normalizer.escapesSpaces = value != 0
      default: break
      }
    }
  }

  func tokenizer() throws(FormatsError) -> PipelineTokenizer {
    var vocabulary = vocabulary
    switch model {
    case 1: vocabulary.algorithm = .unigram
    case 2: vocabulary.algorithm = .bytePairs
    default:
      throw FormatsError(
        .unsupported,
        "It is a SentencePiece model of kind \(model) (words or characters); Unigram and BPE are supported.")
    }
    vocabulary.usesByteFallback = usesByteFallback
    vocabulary.normalizer.spaceIsSuffix = spaceIsSuffix
    if let unknownSurface { vocabulary.unknownSurface = unknownSurface }
    func token(_ number: Int) -> Int32? { vocabulary.pieces.indices.contains(number) ? Int32(number) : nil }
    vocabulary.roles.beginOfText = token(tokens.begin)
    vocabulary.roles.endOfText = token(tokens.end)
    vocabulary.roles.padding = token(tokens.padding)
    vocabulary.roles.unknown = vocabulary.kinds.firstIndex(of: .unknown).map { Int32($0) }
    if let end = vocabulary.roles.endOfText { vocabulary.roles.endOfAnswer = [end] }
    // The file does not say what stands around a text; models with BPE are Llama and its kin, those with Unigram T5's.
    vocabulary.postProcessor =
      vocabulary.algorithm == .bytePairs
      ? PostProcessor(before: vocabulary.roles.beginOfText.map { [$0] } ?? [])
      : PostProcessor(after: vocabulary.roles.endOfText.map { [$0] } ?? [])
    return try vocabulary.tokenizer()
  }
}

/// Reads the fields of one protocol-buffer message (encoding of protobuf 2 and 3) in order.
struct ProtocolBufferReader {
  enum Value {
    case integer(UInt64)
    case fixed32(UInt32)
    case fixed64(UInt64)
    case bytes(UnsafeBufferPointer<UInt8>)
  }

  private let text: UnsafeBufferPointer<UInt8>
  private var position = 0

  init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

  /// The next field, or nil at the end. Throws where the message is cut off or has a group.
  mutating func next() throws(FormatsError) -> (number: Int, value: Value)? {
    guard position < text.count else { return nil }
    let key = try integer()
    let number = Int(truncatingIfNeeded: key >> 3)
    switch key & 7 {
    case 0: return (number, .integer(try integer()))
    case 1: return (number, .fixed64(try fixed(8)))
    case 2:
      let length = try integer()
      guard length <= UInt64(text.count - position) else { throw cutOff() }
      let start = position
      position += Int(length)
      return (number, .bytes(UnsafeBufferPointer(rebasing: text[start..<position])))
    case 5: return (number, .fixed32(UInt32(try fixed(4))))
    default: throw FormatsError(.malformed, "It is no protocol buffer: wire type \(key & 7) at byte \(position).")
    }
  }

  private mutating func integer() throws(FormatsError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard position < text.count else { throw cutOff() }
      let byte = text[position]
      position += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw FormatsError(.malformed, "It is no protocol buffer: a number has no end at byte \(position).")
  }

  private mutating func fixed(_ width: Int) throws(FormatsError) -> UInt64 {
    guard text.count - position >= width else { throw cutOff() }
    var value: UInt64 = 0
    for index in 0..<width { value |= UInt64(text[position + index]) << UInt64(8 * index) }
    position += width
    return value
  }

  private func cutOff() -> FormatsError { FormatsError(.malformed, "It is cut off at byte \(text.count).") }
}
