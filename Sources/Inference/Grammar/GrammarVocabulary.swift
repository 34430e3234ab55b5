// A vocabulary as a grammar sees it: the bytes of all tokens in one tree, so that tokens that begin alike are looked at once.
//
// Invariants: nodes are in the order of a depth-first walk, so that a subtree is a range of nodes and its tokens are a range of
// `tokens`. Special tokens (but for markers that are asked for), tokens that end a text and tokens without bytes are not in it: no grammar
// ever allows them.

package import Formats

/// The tokens of a tokenizer, by their bytes.
package final class GrammarVocabulary: Sendable {
  /// One more than the largest token.
  package let count: Int
  /// Tokens in the order of their bytes.
  let tokens: [Int32]
  /// The byte that leads to each node; node 0 is the root.
  let bytes: [UInt8]
  let depths: [UInt16]
  /// Where the subtree of each node ends.
  let ends: [Int32]
  /// The tokens of node n are `tokens[tokenStarts[n] ..< tokenStarts[n + 1]]`.
  let tokenStarts: [Int32]
  let maximumDepth: Int
  /// The bytes of each token, one after the other; nothing for those that are left out.
  private let spelling: [UInt8]
  private let spellingStarts: [Int32]

  /// - Parameters:
  ///   - ends: tokens that end a text, beside the special ones.
  ///   - size: of the model's vocabulary, if that is larger than the tokenizer's.
  ///   - markers: special tokens whose spelling is in this text are allowed: what is around calls and reasoning.
  package convenience init(
    _ tokenizer: any Tokenizer, ends: Set<Int32> = [], size: Int? = nil, markers: String = ""
  ) {
    let specials = tokenizer.specialTokens.filter { !markers.contains($0.key) }
    let left = ends.union(specials.values)
    let spellings = (0..<Int32(tokenizer.vocabularySize)).map { token in
      var bytes: [UInt8] = []
      if !left.contains(token) { tokenizer.appendBytes(of: token, to: &bytes) }
      return bytes
    }
    self.init(spellings, count: max(tokenizer.vocabularySize, size ?? 0))
  }

  /// - Parameter spellings: the bytes of each token; nothing for tokens that are never allowed.
  package init(_ spellings: [[UInt8]], count: Int? = nil) {
    self.count = count ?? spellings.count
    spelling = Array(spellings.joined())
    var starts: [Int32] = [0]
    for bytes in spellings { starts.append(starts.last! + Int32(bytes.count)) }
    spellingStarts = starts
    let sorted = spellings.indices.filter { !spellings[$0].isEmpty && spellings[$0].count < 65_536 }.sorted {
      spellings[$0].lexicographicallyPrecedes(spellings[$1])
    }
    tokens = sorted.map { Int32($0) }
    var (bytes, depths, ends, tokenStarts) = ([UInt8(0)], [UInt16(0)], [Int32(0)], [Int32(0)])
    // The nodes on the way to the last token.
    var path = [0]
    for (place, token) in sorted.enumerated() {
      let text = spellings[token]
      var common = 0
      while common + 1 < path.count, common < text.count, bytes[path[common + 1]] == text[common] { common += 1 }
      while path.count > common + 1 { ends[path.removeLast()] = Int32(bytes.count) }
      for byte in text[common...] {
        path.append(bytes.count)
        bytes.append(byte)
        depths.append(UInt16(path.count - 1))
        ends.append(0)
        tokenStarts.append(Int32(place))
      }
    }
    for node in path { ends[node] = Int32(bytes.count) }
    tokenStarts.append(Int32(sorted.count))
    self.bytes = bytes
    self.depths = depths
    self.ends = ends
    self.tokenStarts = tokenStarts
    maximumDepth = Int(depths.max() ?? 0)
  }

  /// How many words a mask has.
  package var words: Int { (count + 63) / 64 }

  /// The bytes of a token; nothing for one that is never allowed.
  func spelling(_ token: Int32) -> ArraySlice<UInt8> {
    guard token >= 0, Int(token) + 1 < spellingStarts.count else { return [] }
    return spelling[Int(spellingStarts[Int(token)])..<Int(spellingStarts[Int(token) + 1])]
  }

  /// The nodes right below a node.
  func children(_ node: Int32) -> some Sequence<Int32> {
    sequence(first: node + 1) { self.ends[Int($0)] }.prefix { $0 < self.ends[Int(node)] }
  }

  /// Follows a subtree as far as a walker goes, not counting its root.
  ///
  /// - Parameter visit: told of each node that is reached and of the place there; false leaves out what is below.
  @inline(__always)
  func follow(
    _ node: Int32, from place: GrammarWalker.Place, _ walker: inout GrammarWalker, scratch: inout [GrammarWalker.Place],
    _ visit: (_ node: Int, _ place: GrammarWalker.Place, _ walker: inout GrammarWalker) -> Bool
  ) {
    let classes = walker.network.classes
    bytes.withUnsafeBufferPointer { bytes in
      depths.withUnsafeBufferPointer { depths in
        ends.withUnsafeBufferPointer { ends in
          classes.withUnsafeBufferPointer { classes in
            scratch.withUnsafeMutableBufferPointer { places in
              places[Int(depths[Int(node)])] = place
              var next = Int(node) + 1
              let end = Int(ends[Int(node)])
              while next < end {
                let depth = Int(depths[next])
                let reached = walker.step(places[depth &- 1], bytes[next], class: classes[Int(bytes[next])])
                if reached < 0 || !visit(next, reached, &walker) {
                  next = Int(ends[next])
                } else {
                  places[depth] = reached
                  next &+= 1
                }
              }
            }
          }
        }
      }
    }
  }
}
