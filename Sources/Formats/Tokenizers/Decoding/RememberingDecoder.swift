// A decoder that remembers what tokens become in the middle of a text.
//
// Most tokens stand for the same bytes wherever they occur, but for the beginning of a text and for characters that are spelled
// byte by byte. Steps over spellings are slow; most tokens of a text have been seen before.
//
// Invariant: only what a token becomes between two steady states is remembered, so that the bytes are those of the decoder itself.

/// A decoder that knows when what the next token becomes depends on that token alone.
protocol SteadyingDecoder: TokenDecoder {
  /// Whether nothing is held back, and nothing of what was before matters. Tokens that leave this so leave the decoder as it was.
  var isSteady: Bool { get }
}

struct RememberingDecoder<Base: SteadyingDecoder>: TokenDecoder {
  private var base: Base
  private var isSteady: Bool
  private var memory = TokenMemory()

  init(_ base: Base) {
    self.base = base
    isSteady = base.isSteady
  }

  mutating func push(_ token: Int32, into bytes: inout [UInt8]) {
    if isSteady, memory.append(token, to: &bytes) { return }
    let (wasSteady, start) = (isSteady, bytes.count)
    base.push(token, into: &bytes)
    isSteady = base.isSteady
    if wasSteady, isSteady { memory.store(token, bytes[start...]) }
  }

  mutating func finish(into bytes: inout [UInt8]) {
    base.finish(into: &bytes)
    isSteady = base.isSteady
  }
}

/// Bytes by tokens: a table in which a token has one place, and another token may take it.
private struct TokenMemory {
  private struct Entry {
    var token: Int32 = -1
    var count: Int32 = 0
    var start = 0
  }

  private var entries: [Entry] = []
  private var bytes: [UInt8] = []
  private var stored = 0

  private static let mostEntries = 1 << 14
  private static let mostBytes = 1 << 22

  /// False: the token is not known.
  @inline(__always)
  func append(_ token: Int32, to output: inout [UInt8]) -> Bool {
    guard !entries.isEmpty else { return false }
    let entry = entries[Int(token) & (entries.count - 1)]
    guard entry.token == token else { return false }
    bytes.withUnsafeBufferPointer { bytes in
      output.append(
        contentsOf: UnsafeBufferPointer(rebasing: bytes[entry.start..<(entry.start + Int(entry.count))]))
    }
    return true
  }

  mutating func store(_ token: Int32, _ text: ArraySlice<UInt8>) {
    guard token >= 0 else { return }
    if stored >= entries.count, entries.count < Self.mostEntries {
      entries = Array(repeating: Entry(), count: max(256, entries.count * 4))
      (bytes, stored) = ([], 0)
    } else if bytes.count + text.count > Self.mostBytes {
      for index in entries.indices { entries[index] = Entry() }
      bytes = []
    }
    entries[Int(token) & (entries.count - 1)] = Entry(token: token, count: Int32(text.count), start: bytes.count)
    bytes.append(contentsOf: text)
    stored += 1
  }
}
