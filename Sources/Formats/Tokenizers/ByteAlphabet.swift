// The printable alphabet in which Hugging Face's files spell bytes (GPT-2's bytes_to_unicode): printable Latin-1
// characters stand for themselves, and the other 68 bytes, in order, for U+0100 and up.

enum ByteAlphabet {
  /// The character of each byte.
  static let characters: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0..<256 as Range<UInt32>).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)!
      default:
        defer { next += 1 }
        return Unicode.Scalar(next)!
      }
    }
  }()

  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, character) in characters.enumerated() { bytes[Int(character.value)] = Int16(byte) }
    return bytes
  }()

  /// Appends the bytes that UTF-8 `text` spells; false where a character is not in the alphabet.
  static func decode(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) -> Bool {
    var isValid = true
    UTF8Scan.forEachScalar(in: text) { scalar in
      if scalar < 0x144, bytes[Int(scalar)] >= 0 {
        output.append(UInt8(bytes[Int(scalar)]))
      } else {
        isValid = false
      }
    }
    return isValid
  }

  /// The spelling of bytes.
  static func encode(_ bytes: some Sequence<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(characters[Int(byte)]) }
    return String(text)
  }
}
