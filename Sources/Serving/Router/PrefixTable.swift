// What a worker's cache of prompts probably holds: an approximation from what was sent there.
//
// A prompt is a chain of blocks, and a block's key is a hash of it and of all blocks in front of it, so that a set of keys is a
// radix tree whose edges are blocks. The least recently used goes when there is no more room.
//
// Invariant: with a key the keys in front of it are there (they are used whenever it is, and later), so how much of a prompt is known
// is found by bisection.

/// The keys of a prompt's blocks.
package enum PrefixKeys {
  /// Bytes of a prompt, as it is written in JSON, that make a block: about 32 tokens of text or 25 token numbers.
  package static let blockBytes = 128
  /// About.
  package static let blockTokens = 32
  /// Longer prompts are looked at no further: 1 MiB.
  static let most = 8192

  /// A number that stands for a text, from which keys begin.
  package static func seed(_ text: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    // FNV's upper bits are weak for short texts.
    hash = (hash ^ hash >> 33) &* 0xFF51_AFD7_ED55_8CCD
    return hash ^ hash >> 33
  }

  /// - Parameter seed: of what else must be the same: the model's or adapter's name.
  package static func keys(of bytes: UnsafeRawBufferPointer, seed: UInt64) -> [UInt64] {
    let count = min(bytes.count / blockBytes, most)
    return [UInt64](unsafeUninitializedCapacity: count) { keys, initialized in
      var key = seed
      for block in 0..<count {
        for word in 0..<(blockBytes / 8) {
          let value = bytes.loadUnaligned(fromByteOffset: block * blockBytes + 8 * word, as: UInt64.self)
          key = mixed(key, value)
        }
        keys[block] = key
      }
      initialized = count
    }
  }

  /// The keys of blocks that have numbers, as those of traces.
  package static func keys(of names: [UInt64]) -> [UInt64] {
    var key: UInt64 = 0
    return names.map {
      key = mixed(key, $0)
      return key
    }
  }

  /// Multiplies both halves of what is mixed in; good enough where nobody gains from a collision.
  @inline(__always)
  private static func mixed(_ key: UInt64, _ value: UInt64) -> UInt64 {
    let product = (key ^ value ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
    return (product.high ^ product.low) &+ (key << 23 | key >> 41)
  }
}

/// A bounded set of keys, the least recently used of which is forgotten first.
package struct PrefixTable: Sendable {
  private struct Node {
    var key: UInt64
    /// Used before and after this one.
    var older: Int32
    var newer: Int32
  }

  package let capacity: Int
  private var places: [UInt64: Int32] = [:]
  private var nodes: [Node] = []
  private var oldest: Int32 = -1
  private var newest: Int32 = -1

  /// - Parameter capacity: blocks.
  package init(capacity: Int) { self.capacity = max(1, min(capacity, Int(Int32.max))) }

  package var count: Int { places.count }

  /// How many of the first keys are there.
  package func known(_ keys: [UInt64]) -> Int {
    var (low, high) = (0, keys.count)
    while low < high {
      let middle = (low + high) / 2
      if places[keys[middle]] != nil { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Uses the keys, the first of them last. Of more than there is room for, the first are kept.
  package mutating func use(_ keys: [UInt64]) {
    for key in keys.prefix(capacity).reversed() {
      if let place = places[key] {
        if place == newest { continue }
        unlink(place)
        append(place)
        continue
      }
      var place = Int32(nodes.count)
      if nodes.count < capacity {
        nodes.append(Node(key: key, older: -1, newer: -1))
      } else {
        place = oldest
        unlink(place)
        places[nodes[Int(place)].key] = nil
        nodes[Int(place)].key = key
      }
      places[key] = place
      append(place)
    }
  }

  package mutating func removeAll() { self = PrefixTable(capacity: capacity) }

  private mutating func unlink(_ place: Int32) {
    let node = nodes[Int(place)]
    if node.older >= 0 { nodes[Int(node.older)].newer = node.newer } else { oldest = node.newer }
    if node.newer >= 0 { nodes[Int(node.newer)].older = node.older } else { newest = node.older }
  }

  private mutating func append(_ place: Int32) {
    nodes[Int(place)].older = newest
    nodes[Int(place)].newer = -1
    if newest >= 0 { nodes[Int(newest)].newer = place } else { oldest = place }
    newest = place
  }
}
