// The approximate tree of prompts against a plain list, and keys that depend on all that is in front of them.

import Core
import Serving
import Testing

@Suite struct PrefixTableTests {
  /// What the table does, slowly: keys by when they were used last.
  private struct Plain {
    var capacity: Int
    var keys: [UInt64] = []

    mutating func use(_ used: [UInt64]) {
      for key in used.prefix(capacity).reversed() {
        keys.removeAll { $0 == key }
        if keys.count == capacity { keys.removeFirst() }
        keys.append(key)
      }
    }

    func known(_ asked: [UInt64]) -> Int { asked.prefix { keys.contains($0) }.count }
  }

  @Test func isTheLeastRecentlyUsedOfAPlainList() {
    var random = RandomSequence(seed: 3)
    for capacity in [1, 2, 7, 40] {
      var (table, plain) = (PrefixTable(capacity: capacity), Plain(capacity: capacity))
      for _ in 0..<400 {
        // Paths of a tree: few branches near the root.
        let names = (0..<Int.random(in: 0...9, using: &random)).map { _ in UInt64.random(in: 0...1, using: &random) }
        let keys = PrefixKeys.keys(of: names)
        #expect(table.known(keys) == plain.known(keys))
        table.use(keys)
        plain.use(keys)
        #expect(table.count == plain.keys.count)
      }
    }
  }

  @Test func keysAreThoseOfWholeBlocks() {
    var random = RandomSequence(seed: 4)
    let text = (0..<1000).map { _ in UInt8.random(in: 32...126, using: &random) }
    func keys(_ bytes: [UInt8], _ seed: UInt64 = 1) -> [UInt64] {
      bytes.withUnsafeBytes { PrefixKeys.keys(of: $0, seed: seed) }
    }
    let all = keys(text)
    #expect(all.count == 1000 / PrefixKeys.blockBytes && Set(all).count == all.count)
    #expect(keys(Array(text.prefix(700))) == Array(all.prefix(700 / PrefixKeys.blockBytes)))
    var other = text
    other[PrefixKeys.blockBytes] ^= 1
    #expect(zip(keys(other), all).map { $0 == $1 } == [true] + Array(repeating: false, count: all.count - 1))
    #expect(keys(text, 2).first != all.first && keys([]).isEmpty)
  }
}
