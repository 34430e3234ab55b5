// A prefix tree over byte strings, for finding every token that starts at a place in a text: a double array (Aoe 1989),
// one word a node, so that a step is one look into memory.
//
// Layout of a node: its label (8 bits) and a bit that it is one, 1 + its token (25 bits, 0: none), its base (30 bits). The
// child by a byte lies at base ^ byte. Invariant: no two nodes with children have the same base, so a label that fits
// is the child; base 0 is that of nodes without children.

struct PieceTrie: Sendable, CustomStringConvertible {
  private let nodes: [UInt64]
  private let root: Int

  private static let isNode: UInt64 = 0x100

  /// Makes the tree of byte strings and their tokens (below 2^25 - 1). Of equal strings the first counts; empty ones have
  /// no place in it.
  init<Bytes: Collection<UInt8>>(_ strings: some Sequence<(bytes: Bytes, token: Int32)>) {
    var builder = Builder()
    for (bytes, token) in strings where !bytes.isEmpty { builder.add(bytes, token) }
    root = builder.build()
    nodes = builder.nodes
  }

  /// Makes the tree of all tokens of a table.
  init(_ table: TokenTable) {
    self.init((0..<Int32(table.count)).lazy.map { (bytes: table[$0], token: $0) })
  }

  /// Different for different trees, and short.
  var description: String { "\(nodes.withUnsafeBytes { Hashing.bytes($0) })" }

  /// Calls `body` with the end and token of each string that starts at `start`, shortest first.
  @inline(__always)
  func forEachMatch(_ text: UnsafeBufferPointer<UInt8>, from start: Int, _ body: (Int, Int32) -> Void) {
    nodes.withUnsafeBufferPointer { nodes in
      var base = root
      var position = start
      while position < text.count {
        let label = UInt64(text[position])
        let node = nodes[base ^ Int(truncatingIfNeeded: label)]
        guard node & 0x1FF == label | Self.isNode else { return }
        position &+= 1
        let token = Int32(truncatingIfNeeded: node >> 9 & 0x1FF_FFFF) &- 1
        if token >= 0 { body(position, token) }
        base = Int(truncatingIfNeeded: node >> 34)
      }
    }
  }

  /// The longest string that starts at `start`.
  @inline(__always)
  func longestMatch(
    _ text: UnsafeBufferPointer<UInt8>, from start: Int
  ) -> (token: Int32, length: Int)? {
    var best: (token: Int32, length: Int)?
    forEachMatch(text, from: start) { end, token in best = (token, end - start) }
    return best
  }

  /// Finds a base for every node: the first at which all its children fall on free places of the last blocks of 256.
  private struct Builder {
    private struct Entry {
      /// The first eight bytes, most significant first: what most comparisons need.
      let prefix: UInt64
      let range: Range<Int>
      let token: Int32
    }

    private static let blocksTried = 16

    private(set) var nodes: [UInt64] = []
    private var bytes: [UInt8] = []
    private var entries: [Entry] = []
    /// A bit for each place: it is free; it is some node's base.
    private var free: [UInt64] = []
    private var isBase: [UInt64] = []
    private var freeInBlock: [Int] = []

    mutating func add(_ string: some Collection<UInt8>, _ token: Int32) {
      let start = bytes.count
      bytes.append(contentsOf: string)
      var prefix: UInt64 = 0
      for index in start..<start + 8 { prefix = prefix << 8 | UInt64(index < bytes.count ? bytes[index] : 0) }
      entries.append(Entry(prefix: prefix, range: start..<bytes.count, token: token))
    }

    /// Fills `nodes` and returns the base of the root.
    mutating func build() -> Int {
      let bytes = bytes
      entries.sort { a, b in
        if a.prefix != b.prefix { return a.prefix < b.prefix }
        let (left, right) = (bytes[a.range].dropFirst(8), bytes[b.range].dropFirst(8))
        if left.lexicographicallyPrecedes(right) { return true }
        if right.lexicographicallyPrecedes(left) { return false }
        // A zero byte at the end of a short string looks like its end; of equal strings the one added first is first.
        return a.range.count != b.range.count ? a.range.count < b.range.count : a.range.lowerBound < b.range.lowerBound
      }
      addBlock()
      isBase[0] = 1  // that of nodes without children
      var root = 0
      var open: [(node: Int?, entries: Range<Int>, depth: Int)] = [(nil, entries.indices, 0)]
      while let (node, range, depth) = open.popLast() {
        var children: [(label: UInt8, entries: Range<Int>)] = []
        for index in range where entries[index].range.count > depth {
          let label = bytes[entries[index].range.lowerBound + depth]
          if children.last?.label == label {
            children[children.count - 1].entries = children.last!.entries.lowerBound..<index + 1
          } else {
            children.append((label, index..<index + 1))
          }
        }
        guard !children.isEmpty else { continue }
        let base = place(children.map { $0.label })
        if let node { nodes[node] |= UInt64(base) << 34 } else { root = base }
        for child in children {
          // Strings that end here come first.
          let first = entries[child.entries.lowerBound]
          let token = first.range.count == depth + 1 ? UInt64(first.token) + 1 : 0
          nodes[base ^ Int(child.label)] = token << 9 | PieceTrie.isNode | UInt64(child.label)
        }
        for child in children.reversed() { open.append((base ^ Int(child.label), child.entries, depth + 1)) }
      }
      return root
    }

    private mutating func addBlock() {
      nodes += [UInt64](repeating: 0, count: 256)
      free += [UInt64](repeating: .max, count: 4)
      isBase += [UInt64](repeating: 0, count: 4)
      freeInBlock.append(256)
    }

    /// A base for children with these labels; their places are taken.
    private mutating func place(_ labels: [UInt8]) -> Int {
      let base = findBase(labels)
      isBase[base >> 6] |= 1 << UInt64(base & 63)
      for label in labels {
        let place = base ^ Int(label)
        free[place >> 6] &= ~(1 << UInt64(place & 63))
        freeInBlock[place >> 8] -= 1
      }
      return base
    }

    private mutating func findBase(_ labels: [UInt8]) -> Int {
      for block in max(0, freeInBlock.count - Self.blocksTried)..<freeInBlock.count
      where freeInBlock[block] >= labels.count {
        for word in block * 4..<block * 4 + 4 {
          var places = free[word]
          while places != 0 {
            let base = (word * 64 + places.trailingZeroBitCount) ^ Int(labels[0])
            places &= places - 1
            if isBase[base >> 6] >> UInt64(base & 63) & 1 == 0, labels.allSatisfy({ isFree(base ^ Int($0)) }) {
              return base
            }
          }
        }
      }
      addBlock()
      return nodes.count - 256
    }

    private func isFree(_ place: Int) -> Bool { free[place >> 6] >> UInt64(place & 63) & 1 == 1 }
  }
}
