// Base64 (RFC 4648, standard alphabet, padded).

package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 0xFF, count: 256)
    for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
    return values
  }()

  package static func append(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    var bits: UInt32 = 0
    var held = 0
    var written = 0
    for byte in bytes {
      bits = bits << 8 | UInt32(byte)
      held += 8
      while held >= 6 {
        held -= 6
        output.append(alphabet[Int(bits >> UInt32(held) & 63)])
        written += 1
      }
    }
    if held > 0 {
      output.append(alphabet[Int(bits << UInt32(6 - held) & 63)])
      written += 1
    }
    while written % 4 != 0 {
      output.append(UInt8(ascii: "="))
      written += 1
    }
  }

  /// The bytes, or nil where the text is not base64. Only padding, in any amount, is the empty string.
  static func decode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    var output: [UInt8] = []
    output.reserveCapacity(text.count / 4 * 3)
    var bits: UInt32 = 0
    var held = 0
    var characters = 0
    for (index, character) in text.enumerated() {
      if character == UInt8(ascii: "=") {
        guard text[index...].allSatisfy({ $0 == UInt8(ascii: "=") }) else { return nil }
        break
      }
      let value = values[Int(character)]
      guard value != 0xFF else { return nil }
      bits = bits << 6 | UInt32(value)
      held += 6
      characters += 1
      if held >= 8 {
        held -= 8
        output.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
      }
    }
    return characters % 4 == 1 ? nil : output
  }
}
