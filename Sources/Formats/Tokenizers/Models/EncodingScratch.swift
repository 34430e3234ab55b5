// The memory of one encoder: the tokens made so far, and a cache of the pieces that keep coming back.
//
// The cache is direct-mapped: two sizes of slots, for pieces of up to 15 and up to 31 bytes, so that words of scripts with
// two or three bytes per letter fit as well. A key holds the bytes themselves and the length in its last byte; no hash
// collision can give a wrong answer, and an all-zero key is an empty slot.

internal import Synchronization

/// The keys of the piece cache.
enum PieceCache {
  static let longestPiece = 31

  /// A piece of at most 31 bytes, zero-padded, its length in the top byte of `words.1` (short) or `words.3`.
  struct Key {
    var words: (UInt64, UInt64, UInt64, UInt64)
    let isShort: Bool
  }

  /// The key of `count` bytes at `piece`, of which `readable >= count` may be touched.
  @inline(__always)
  static func key(_ piece: UnsafePointer<UInt8>, _ count: Int, _ readable: Int) -> Key {
    if count < 16 {
      if readable >= 16 {
        let raw = UnsafeRawPointer(piece)
        var low = raw.loadUnaligned(as: UInt64.self)
        var high = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        if count < 8 {
          low &= (1 &<< (UInt64(count) &* 8)) &- 1
          high = 0
        } else {
          high &= (1 &<< (UInt64(count &- 8) &* 8)) &- 1
        }
        return Key(words: (low, high | UInt64(count) &<< 56, 0, 0), isShort: true)
      }
      return Key(words: gather(piece, count), isShort: true)
    }
    return Key(words: gather(piece, count), isShort: false)
  }

  @inline(never)
  private static func gather(_ piece: UnsafePointer<UInt8>, _ count: Int) -> (UInt64, UInt64, UInt64, UInt64) {
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) { raw in
      raw.baseAddress!.copyMemory(from: piece, byteCount: count)
      raw[count < 16 ? 15 : 31] = UInt8(count)
    }
    return words
  }
}

/// Growing output and piece cache of one encoding thread. Not thread-safe: one owner at a time.
final class EncodingScratch: @unchecked Sendable {
  private static let shortSlots = 1 << 14
  private static let longSlots = 1 << 12
  private static let shortTokens = 11  // 16 + 4 + 44 = 64 bytes a slot
  private static let longTokens = 23  // 32 + 4 + 92 = 128 bytes a slot

  private var tokens: UnsafeMutablePointer<Int32>
  private var capacity = 1 << 12
  private(set) var count = 0
  private let short: UnsafeMutableRawPointer
  private let long: UnsafeMutableRawPointer
  /// Working memory of the merge loop.
  var symbols = SymbolBuffer()
  /// Working memory of Viterbi's algorithm.
  private var path = UnsafeMutableBufferPointer<UnigramModel.Step>.allocate(capacity: 256)

  init() {
    tokens = .allocate(capacity: capacity)
    short = .allocate(byteCount: Self.shortSlots * 64, alignment: 64)
    short.initializeMemory(as: UInt8.self, repeating: 0, count: Self.shortSlots * 64)
    long = .allocate(byteCount: Self.longSlots * 128, alignment: 64)
    long.initializeMemory(as: UInt8.self, repeating: 0, count: Self.longSlots * 128)
  }

  deinit {
    tokens.deallocate()
    short.deallocate()
    long.deallocate()
    path.deallocate()
  }

  /// Room for `count` steps; what is in it is left over from the last use.
  @inline(__always)
  func steps(_ count: Int) -> UnsafeMutablePointer<UnigramModel.Step> {
    if count > path.count {
      path.deallocate()
      path = .allocate(capacity: max(count, path.count * 2))
    }
    return path.baseAddress!
  }

  var output: UnsafeBufferPointer<Int32> { UnsafeBufferPointer(start: tokens, count: count) }

  /// Forgets the output, and gives back what an unusually large text needed.
  func reset() {
    count = 0
    if capacity > 1 << 20 {
      tokens.deallocate()
      capacity = 1 << 12
      tokens = .allocate(capacity: capacity)
    }
    if path.count > 1 << 16 {
      path.deallocate()
      path = .allocate(capacity: 256)
    }
  }

  @inline(__always)
  func append(_ token: Int32) {
    if count == capacity { grow(to: capacity * 2) }
    tokens[count] = token
    count &+= 1
  }

  /// Takes back the tokens since `first`.
  func removeTokens(from first: Int) { count = first }

  @inline(never)
  private func grow(to newCapacity: Int) {
    let larger = UnsafeMutablePointer<Int32>.allocate(capacity: newCapacity)
    larger.update(from: tokens, count: count)
    tokens.deallocate()
    tokens = larger
    capacity = newCapacity
  }

  /// Appends the tokens of a piece that is in the cache; false if it is not.
  @inline(__always)
  func appendCached(_ key: PieceCache.Key) -> Bool {
    let slot = slot(key)
    let keyWords = slot.assumingMemoryBound(to: UInt64.self)
    guard keyWords[0] == key.words.0, keyWords[1] == key.words.1 else { return false }
    if key.isShort {
      copy(slot + 16)
    } else {
      guard keyWords[2] == key.words.2, keyWords[3] == key.words.3 else { return false }
      copy(slot + 32)
    }
    return true
  }

  /// Stores the tokens since `first` as those of the piece, if they fit.
  func remember(_ key: PieceCache.Key, from first: Int) {
    let length = count - first
    guard length <= (key.isShort ? Self.shortTokens : Self.longTokens) else { return }
    let slot = slot(key)
    let keyWords = slot.assumingMemoryBound(to: UInt64.self)
    keyWords[0] = key.words.0
    keyWords[1] = key.words.1
    if !key.isShort {
      keyWords[2] = key.words.2
      keyWords[3] = key.words.3
    }
    let values = (slot + (key.isShort ? 16 : 32)).assumingMemoryBound(to: Int32.self)
    values[0] = Int32(length)
    (values + 1).update(from: tokens + first, count: length)
  }

  @inline(__always)
  private func slot(_ key: PieceCache.Key) -> UnsafeMutableRawPointer {
    let hash = Hashing.fold(key.words.0, key.words.1)
    if key.isShort { return short + Int(hash & UInt64(Self.shortSlots - 1)) &* 64 }
    return long + Int(Hashing.fold(hash ^ key.words.2, key.words.3) & UInt64(Self.longSlots - 1)) &* 128
  }

  @inline(__always)
  private func copy(_ value: UnsafeMutableRawPointer) {
    let values = value.assumingMemoryBound(to: Int32.self)
    let length = Int(values[0])
    if count &+ length > capacity { grow(to: capacity * 2) }
    var position = 0
    repeat {  // never empty
      tokens[count &+ position] = values[position &+ 1]
      position &+= 1
    } while position < length
    count &+= length
  }
}

/// Arrays that the merge loops work in; grown on demand, kept between pieces.
struct SymbolBuffer: ~Copyable {
  private(set) var tokens = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 128)
  private(set) var pairs = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: 128)
  private(set) var next = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 0)
  private(set) var previous = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 0)

  deinit {
    tokens.deallocate()
    pairs.deallocate()
    next.deallocate()
    previous.deallocate()
  }

  /// Makes room for `count` symbols, with links where they are more than a short piece has.
  mutating func reserve(_ count: Int) {
    guard count > MergeRules.shortPiece, next.count < count else { return }
    next.deallocate()
    previous.deallocate()
    next = .allocate(capacity: count)
    previous = .allocate(capacity: count)
    if tokens.count < count {
      tokens.deallocate()
      pairs.deallocate()
      tokens = .allocate(capacity: count)
      pairs = .allocate(capacity: count)
    }
  }
}

/// The scratches of a tokenizer that no thread is using.
final class ScratchPool: Sendable {
  private let idle = Mutex<[EncodingScratch]>([])

  /// Encodes with a scratch of the caller's own, and appends what it has put out.
  @inline(__always)
  func encode(into tokens: inout [Int32], _ body: (EncodingScratch) -> Void) {
    let scratch = idle.withLock { $0.popLast() } ?? EncodingScratch()
    body(scratch)
    tokens.append(contentsOf: scratch.output)
    scratch.reset()
    idle.withLock { $0.append(scratch) }
  }
}
