// Blocks on their way: cut anyhow they arrive, damaged anywhere they do not.

import Core
import Inference
import Testing

@Suite struct BlockStreamTests {
  private static let form = BlockForm(fingerprint: "0123456789abcdef0123456789abcdef", tokens: 4, bytes: 40)
  private static let text = MovedText(tokens: (0..<19).map { Int32($0) }, salt: "s")
  private static let keys = text.keys(blockSize: 4)
  private static let blocks = (0..<4).map { block in (0..<40).map { UInt8(40 * block + $0) } }

  /// The blocks from one on.
  private static func stream(from first: Int = 1, form: BlockForm = form) -> [UInt8] {
    var bytes = BlockStreamReader.head(form, first: first)
    for number in first..<4 { bytes += BlockRecord.header(keys[number], blocks[number]) + blocks[number] }
    return bytes
  }

  private static func read(_ bytes: [UInt8], piece: Int = .max) -> (blocks: [[UInt8]], error: BlockStreamError?) {
    var reader = BlockStreamReader(keys[1...], first: 1, form: form)
    var result: [[UInt8]] = []
    do throws(BlockStreamError) {
      var place = 0
      while place < bytes.count {
        let end = min(bytes.count, piece == .max ? bytes.count : place + piece)
        result += try reader.read(bytes[place..<end])
        place = end
      }
      try reader.finish()
      return (result, nil)
    } catch {
      // What was read before is not taken back, and nothing more comes.
      #expect(throws: error) { _ = try reader.read(Array(bytes)) }
      return (result, error)
    }
  }

  @Test func arrivesHoweverItIsCut() {
    for piece in [1, 2, 3, 7, 40, 64, 87, 100, 1000] {
      let (blocks, error) = Self.read(Self.stream(), piece: piece)
      #expect(blocks == Array(Self.blocks[1...]) && error == nil, "pieces of \(piece)")
    }
  }

  @Test func damageIsSeenWhereverItIs() {
    let whole = Self.stream()
    for place in whole.indices {
      for bit in 0..<8 {
        var damaged = whole
        damaged[place] ^= 1 << UInt8(bit)
        let (blocks, error) = Self.read(damaged, piece: 50)
        #expect(error != nil, "bit \(bit) of byte \(place)")
        // Those in front of the damage came as they were sent.
        #expect(blocks == Array(Self.blocks[1...].prefix(blocks.count)) && blocks.count < 3)
      }
    }
  }

  @Test func endsWithinABlockOrBehindOne() {
    let whole = Self.stream()
    let record = BlockRecord.headerBytes + 40
    for length in 0...whole.count {
      let (blocks, error) = Self.read(Array(whole.prefix(length)))
      let isWhole = length >= 64 && (length - 64) % record == 0
      #expect((error == nil) == isWhole && blocks == Array(Self.blocks[1...].prefix(max(0, length - 64) / record)))
    }
  }

  @Test func whatWasNotAskedForIsRefused() {
    let whole = Self.stream()
    #expect(Self.read(whole + [0]).error != nil)
    #expect(Self.read(whole + whole[64...]).error != nil)
    // From another place, in another order, of another text.
    #expect(Self.read(Self.stream(from: 0)).error != nil)
    let record = BlockRecord.headerBytes + 40
    let swapped = whole[..<64] + whole[(64 + record)..<(64 + 2 * record)] + whole[64..<(64 + record)]
    #expect(Self.read(Array(swapped)).error != nil)
    let other = MovedText(tokens: Self.text.tokens, salt: "t").keys(blockSize: 4)
    let foreign = whole[..<64] + BlockRecord.header(other[1], Self.blocks[1]) + Self.blocks[1]
    #expect(Self.read(Array(foreign)).error != nil)
  }

  @Test func anotherFormIsToldFromDamage() {
    for form in [
      BlockForm(fingerprint: "f123456789abcdef0123456789abcdef", tokens: 4, bytes: 40),
      BlockForm(fingerprint: Self.form.fingerprint, tokens: 4, bytes: 48),
    ] {
      #expect(Self.read(Self.stream(form: form)).error == .otherForm)
    }
    #expect(
      Self.read(Array("HTTP/1.1 200 OK, and something else that is as long as a head would be".utf8)).error
        != .otherForm)
  }

  @Test func noiseIsRefused() {
    var random = RandomSequence(seed: 1, stream: 9)
    for _ in 0..<500 {
      let noise = (0..<Int(random.next() % 300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let (blocks, error) = Self.read(noise, piece: 33)
      #expect(blocks.isEmpty && error != nil)
    }
  }
}
