// The built-in corpus: endless little stories and sums from a small grammar, so that training needs no file.
//
// Invariant: document n of seed s is a pure function of (s, n). About three hundred words, short sentences, one name and
// one pronoun per character, every cause with its effect, and arithmetic that is always right: a model of a million
// parameters learns it visibly in a minute or two, and what it gets wrong is easy to see.

/// A generator of documents: four of five are stories, one is a page of sums.
public struct StoriesAndSums: Sendable {
  public let seed: UInt64
  /// Changes whenever the texts change, so that caches of old texts are not used.
  static let version: UInt64 = 1

  public init(seed: UInt64 = 1) { self.seed = seed }

  /// Document number `index`, without a newline at its end.
  public func document(_ index: Int) -> String {
    var dice = Dice(seed: Hashing.mix(seed ^ Hashing.mix(UInt64(index))))
    if dice.roll(5) == 0 { return Self.sums(&dice) }
    return Story(&dice).text
  }

  /// The first documents that together have at least `bytes` bytes, and where each begins and ends.
  func text(bytes: Int) -> (text: [UInt8], documents: [Range<Int>]) {
    var text: [UInt8] = []
    text.reserveCapacity(bytes + 1024)
    var documents: [Range<Int>] = []
    while text.count < bytes {
      let start = text.count
      text.append(contentsOf: document(documents.count).utf8)
      text.append(0x0A)
      documents.append(start..<text.count)
    }
    return (text, documents)
  }

  private static func sums(_ dice: inout Dice) -> String {
    var lines: [String] = []
    for _ in 0..<4 + dice.roll(5) {
      let total = dice.roll(21)
      let part = dice.roll(total + 1)
      switch dice.roll(5) {
      case 0, 1: lines.append("\(part) + \(total - part) = \(total).")
      case 2, 3: lines.append("\(total) - \(part) = \(total - part).")
      default: lines.append("What is \(part) + \(total - part)? It is \(total).")
      }
    }
    return lines.joined(separator: "\n")
  }
}

/// Counter-based dice: the n-th throw depends on the seed and n alone.
struct Dice {
  private let seed: UInt64
  private var counter: UInt64 = 0

  init(seed: UInt64) { self.seed = seed }

  /// A number of `0 ..< sides`.
  mutating func roll(_ sides: Int) -> Int {
    counter += 1
    return Int(Hashing.mix(seed ^ Hashing.mix(counter)).multipliedFullWidth(by: UInt64(sides)).high)
  }

  mutating func pick<Element>(_ list: [Element]) -> Element { list[roll(list.count)] }
}
