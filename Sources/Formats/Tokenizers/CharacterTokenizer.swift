// One token per Unicode scalar that occurs in the training text.
//
// Invariant: tokens 0 ..< characters.count are the characters in ascending order, then comes the unknown character, then
// end of text. Encoding never fails: what was not seen in training becomes the unknown token (decoded as U+FFFD).

/// A vocabulary of single characters: small models, and the nanoGPT way of reading Shakespeare.
public final class CharacterTokenizer: Tokenizer {
  /// The known characters, ascending; the token of a character is its index.
  public let characters: [Unicode.Scalar]
  public let specialTokens: [String: Int32]
  public let endOfText: Int32?
  public let fingerprint: UInt64
  /// The token of characters that are not in the vocabulary.
  public let unknown: Int32

  static let unknownSpelling = "<|unknown|>"

  /// Tokens of the scalars below U+3000, or `unknown`; most text needs nothing else.
  private let direct: [Int32]
  private let others: [UInt32: Int32]
  private let scanner: AddedTokenScanner

  public var vocabularySize: Int { characters.count + 2 }

  /// Makes the tokenizer of these characters.
  public init(characters: some Sequence<Unicode.Scalar>) {
    self.characters = Set(characters).sorted { $0.value < $1.value }
    unknown = Int32(self.characters.count)
    endOfText = unknown + 1
    specialTokens = [Self.unknownSpelling: unknown, endOfTextSpelling: unknown + 1]
    var direct = [Int32](repeating: unknown, count: 0x3000)
    var others: [UInt32: Int32] = [:]
    for (index, character) in self.characters.enumerated() {
      if character.value < 0x3000 {
        direct[Int(character.value)] = Int32(index)
      } else {
        others[character.value] = Int32(index)
      }
    }
    scanner = AddedTokenScanner(specialTokens)
    self.direct = direct
    self.others = others
    fingerprint = self.characters.reduce(Hashing.string("characters")) { Hashing.fold($0, UInt64($1.value)) }
  }

  /// Makes the tokenizer of all characters that occur in UTF-8 texts. Invalid bytes count as U+FFFD.
  public static func train(on texts: [UnsafeBufferPointer<UInt8>]) -> CharacterTokenizer {
    var counter = CharacterSetBuilder()
    for text in texts { counter.add(text) }
    return CharacterTokenizer(characters: counter.characters)
  }

  public func encode(_ text: UnsafeBufferPointer<UInt8>, specials: SpecialTokenHandling, into tokens: inout [Int32]) {
    if specials == .recognized {
      scanner.forEachPart(of: text) { part in
        switch part {
        case .text(let range): encodeText(UnsafeBufferPointer(rebasing: text[range]), into: &tokens)
        case .token(let token): tokens.append(token)
        }
      }
    } else {
      encodeText(text, into: &tokens)
    }
  }

  public func appendBytes(of token: Int32, to bytes: inout [UInt8]) {
    switch Int(token) {
    case 0..<characters.count: bytes.append(contentsOf: UTF8.encode(characters[Int(token)])!)
    case characters.count: bytes.append(contentsOf: [0xEF, 0xBF, 0xBD])
    case characters.count + 1: bytes.append(contentsOf: endOfTextSpelling.utf8)
    default: break
    }
  }

  private func encodeText(_ text: UnsafeBufferPointer<UInt8>, into tokens: inout [Int32]) {
    tokens.reserveCapacity(tokens.count + text.count)
    UTF8Scan.forEachScalar(in: text) { scalar in
      tokens.append(scalar < 0x3000 ? direct[Int(scalar)] : others[scalar] ?? unknown)
    }
  }
}

/// Collects the characters of texts that come in parts.
package struct CharacterSetBuilder: Sendable {
  private var low = [Bool](repeating: false, count: 0x3000)
  private var high: Set<UInt32> = []

  package init() {}

  /// Notes the characters of a part; parts must not cut a character in two.
  package mutating func add(_ text: UnsafeBufferPointer<UInt8>) {
    UTF8Scan.forEachScalar(in: text) { scalar in
      if scalar < 0x3000 { low[Int(scalar)] = true } else { high.insert(scalar) }
    }
  }

  package var characters: [Unicode.Scalar] {
    (low.indices.filter { low[$0] }.map { UInt32($0) } + high).compactMap { Unicode.Scalar($0) }
  }
}
