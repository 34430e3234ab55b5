// TensorBoard files, taken apart again by a reader that shares nothing with the writer.

internal import Core
internal import FoundationEssentials
internal import Testing
internal import Training

@Suite struct TensorBoardTests {
  /// A protocol buffer message as (field, value) pairs; nested messages stay bytes.
  private enum Field {
    case integer(UInt64), fixed64(UInt64), fixed32(UInt32), bytes([UInt8])
  }

  private struct Malformed: Error {}

  private func fields(_ message: [UInt8]) throws -> [(number: Int, value: Field)] {
    var rest = message[...]
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 64, by: 7) {
        guard let byte = rest.popFirst() else { throw Malformed() }
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
      }
      throw Malformed()
    }
    func little<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
      guard rest.count >= T.bitWidth / 8 else { throw Malformed() }
      let value = rest.prefix(T.bitWidth / 8).reversed().reduce(T.zero) { $0 << 8 | T($1) }
      rest = rest.dropFirst(T.bitWidth / 8)
      return value
    }
    var result: [(Int, Field)] = []
    while !rest.isEmpty {
      let tag = try varint()
      switch tag & 7 {
      case 0: result.append((Int(tag >> 3), .integer(try varint())))
      case 1: result.append((Int(tag >> 3), .fixed64(try little(UInt64.self))))
      case 5: result.append((Int(tag >> 3), .fixed32(try little(UInt32.self))))
      case 2:
        let count = Int(try varint())
        guard rest.count >= count else { throw Malformed() }
        result.append((Int(tag >> 3), .bytes(Array(rest.prefix(count)))))
        rest = rest.dropFirst(count)
      default: throw Malformed()
      }
    }
    return result
  }

  /// CRC32C by long division, bit by bit.
  private func maskedCheck(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      for bit in 0..<8 {
        let mix = (crc ^ UInt32(byte >> bit & 1)) & 1
        crc >>= 1
        if mix == 1 { crc ^= 0x82F6_3B78 }
      }
    }
    crc = ~crc
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }

  private func messages(path: String) throws -> [[UInt8]] {
    var rest = try Array(Data(contentsOf: URL(filePath: path)))[...]
    func little(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    var result: [[UInt8]] = []
    while !rest.isEmpty {
      guard rest.count >= 16 else { throw Malformed() }
      let length = rest.prefix(8)
      #expect(UInt64(maskedCheck(length)) == little(rest.dropFirst(8).prefix(4)))
      let message = rest.dropFirst(12).prefix(Int(little(length)))
      rest = rest.dropFirst(12 + message.count)
      #expect(UInt64(maskedCheck(message)) == little(rest.prefix(4)))
      rest = rest.dropFirst(4)
      result.append(Array(message))
    }
    return result
  }

  @Test func checkOfKnownBytes() {
    // RFC 3720, B.4: the check of "123456789" is 0xE3069283.
    let crc: UInt32 = 0xE306_9283
    #expect(maskedCheck(Array("123456789".utf8)[...]) == (crc >> 15 | crc << 17) &+ 0xA282_EAD8)
  }

  @Test func scalarsAndTextsAreFound() throws {
    let folder = try TemporaryFolder()
    let clock = ManualClock(seconds: 0.5, unixOrigin: 1_700_000_000)
    let sink = try TensorBoardSink(folder: folder.file("board"), clock: clock)
    for event in FakeRun.everyKind { sink.receive(event) }
    #expect(sink.failure == nil)
    #expect(sink.path.contains("/events.out.tfevents.1700000000."))

    var scalars: [String: [Int: Float]] = [:]
    var texts: [String: String] = [:]
    let all = try messages(path: sink.path)
    for (index, message) in all.enumerated() {
      var step = 0
      for (number, value) in try fields(message) {
        switch (number, value) {
        case (1, .fixed64(let bits)): #expect(Double(bitPattern: bits) == 1_700_000_000.5)
        case (2, .integer(let value)): step = Int(value)
        case (3, .bytes(let version)):
          #expect(index == 0)
          #expect(String(decoding: version, as: UTF8.self) == "brain.Event:2")
        case (5, .bytes(let summary)):
          for (number, value) in try fields(summary) {
            guard number == 1, case .bytes(let entry) = value else { throw Malformed() }
            var tag = ""
            for (number, value) in try fields(entry) {
              switch (number, value) {
              case (1, .bytes(let name)): tag = String(decoding: name, as: UTF8.self)
              case (2, .fixed32(let bits)): scalars[tag, default: [:]][step] = Float(bitPattern: bits)
              case (8, .bytes(let tensor)):
                for case (8, .bytes(let text)) in try fields(tensor) {
                  texts[tag] = String(decoding: text, as: UTF8.self)
                }
              case (9, _): break
              default: throw Malformed()
              }
            }
          }
        default: throw Malformed()
        }
      }
    }
    #expect(scalars["loss/train"] == [1: 7, 2: 4.5])
    #expect(scalars["loss/validation"] == [2: 3.25])
    #expect(scalars["optimizer/learning rate"]?[1] == 3e-4)
    #expect(scalars["gradient norm/head"] == [2: 0.25])
    #expect(texts["sample"]?.contains("Once upon") == true)
    #expect(texts["configuration"]?.contains("steps: 1000") == true)
    #expect(texts["warnings"] == "a spike")
  }

  @Test func aResumedRunVoidsLaterSteps() throws {
    let folder = try TemporaryFolder()
    let first = try TensorBoardSink(folder: folder.path)
    let second = try TensorBoardSink(folder: folder.path)
    #expect(first.path != second.path)
    second.receive(.started(FakeRun.description(resumedFrom: 40)))
    let restart = try fields(messages(path: second.path)[1])
    guard case .integer(let step)? = restart.first(where: { $0.number == 2 })?.value,
      case .bytes(let log)? = restart.first(where: { $0.number == 7 })?.value
    else { throw Malformed() }
    #expect(step == 41)
    #expect(log == [0x08, 0x01])
  }
}
