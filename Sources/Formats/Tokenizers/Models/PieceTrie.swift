// A prefix tree over byte strings, for finding every token that starts at a place in a text.
//
// Edges live in one hash table keyed by node and byte; the root's are in an array, since most walks end soon.

final class PieceTrie: @unchecked Sendable {  // written by `insert` only, while it is being built
  private var edges: PairTable
  private var roots = [Int32](repeating: -1, count: 256)
  /// The token that ends at each node, or -1.
  private var tokens: [Int32] = [-1]
  private(set) var longest = 0

  init(minimumCapacity: Int = 0) { edges = PairTable(minimumCapacity: minimumCapacity) }

  /// Adds a byte string, which must not be empty; of equal ones the first counts.
  func insert(_ bytes: some Collection<UInt8>, token: Int32) {
    precondition(!bytes.isEmpty, "an empty byte string has no place in a trie")
    var node = bytes.first.map { Int32(roots[Int($0)]) }!
    if node < 0 {
      node = Int32(tokens.count)
      tokens.append(-1)
      roots[Int(bytes.first!)] = node
    }
    for byte in bytes.dropFirst() {
      let next = Int32(truncatingIfNeeded: edges.insert(node, Int32(byte), UInt64(tokens.count)))
      if Int(next) == tokens.count { tokens.append(-1) }
      node = next
    }
    if tokens[Int(node)] < 0 { tokens[Int(node)] = token }
    longest = max(longest, bytes.count)
  }

  /// Calls `body` with the end and token of each string that starts at `start`, shortest first.
  @inline(__always)
  func forEachMatch(_ text: UnsafeBufferPointer<UInt8>, from start: Int, _ body: (Int, Int32) -> Void) {
    var position = start
    var node: Int32 = -1
    tokens.withUnsafeBufferPointer { tokens in
      while position < text.count {
        if position == start {
          node = roots[Int(text[position])]
        } else {
          node = edges[node, Int32(text[position])].map { Int32(truncatingIfNeeded: $0) } ?? -1
        }
        if node < 0 { return }
        position &+= 1
        if tokens[Int(node)] >= 0 { body(position, tokens[Int(node)]) }
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
}
