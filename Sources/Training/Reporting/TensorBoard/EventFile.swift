// TensorBoard's event files, byte by byte: TFRecord frames around protocol buffer messages
// (tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, framework/summary.proto).
//
// Invariant: a frame is length (u64), masked CRC32C of the length, the message, masked CRC32C of the message, all
// little-endian.

/// The cyclic redundancy check of Castagnoli, Bräuer and Herrmann (1993), as RFC 3720 has it.
enum CRC32C {
  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
  }

  static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var crc = ~UInt32(0)
    for byte in bytes { crc = crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] }
    return ~crc
  }

  /// Rotated and shifted, so that a check over data that holds checks stays a good one.
  static func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let crc = of(bytes)
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }
}

/// A protocol buffer message under construction.
struct ProtocolMessage {
  private(set) var bytes: [UInt8] = []

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func tag(_ field: UInt64, _ wireType: UInt64) { varint(field << 3 | wireType) }

  mutating func integer(_ field: UInt64, _ value: Int64) {
    tag(field, 0)
    varint(UInt64(bitPattern: value))
  }

  mutating func double(_ field: UInt64, _ value: Double) {
    tag(field, 1)
    bytes.appendLittleEndian(value.bitPattern)
  }

  mutating func float(_ field: UInt64, _ value: Float) {
    tag(field, 5)
    bytes.appendLittleEndian(value.bitPattern)
  }

  mutating func string(_ field: UInt64, _ value: String) { message(field, Array(value.utf8)) }

  mutating func message(_ field: UInt64, _ value: [UInt8]) {
    tag(field, 2)
    varint(UInt64(value.count))
    bytes += value
  }

  mutating func message(_ field: UInt64, _ build: (inout ProtocolMessage) -> Void) {
    var inner = ProtocolMessage()
    build(&inner)
    message(field, inner.bytes)
  }
}

/// One record of an event file.
struct TensorBoardEvent {
  var unixSeconds: Double
  var step: Int
  var content: Content

  enum Content {
    /// The first record of every file.
    case version
    /// What came at this step or later is void: the run was resumed.
    case restart
    case scalars([(tag: String, value: Double)])
    case text(tag: String, String)
  }

  /// The message `tensorflow.Event`.
  var message: [UInt8] {
    var event = ProtocolMessage()
    event.double(1, unixSeconds)
    if step != 0 { event.integer(2, Int64(step)) }
    switch content {
    case .version: event.string(3, "brain.Event:2")
    case .restart: event.message(7) { $0.integer(1, 1) }
    case .scalars(let scalars):
      event.message(5) { summary in
        for scalar in scalars {
          summary.message(1) { value in
            value.string(1, scalar.tag)
            value.float(2, Float(scalar.value))
          }
        }
      }
    case .text(let tag, let text):
      event.message(5) { summary in
        summary.message(1) { value in
          value.string(1, tag)
          value.message(8) { tensor in
            // DT_STRING, of shape [1].
            tensor.integer(1, 7)
            tensor.message(2) { shape in shape.message(2) { $0.integer(1, 1) } }
            tensor.string(8, text)
          }
          value.message(9) { metadata in
            metadata.message(1) { $0.string(1, "text") }
            metadata.integer(4, 2)
          }
        }
      }
    }
    return event.bytes
  }

  /// The framed record.
  var record: [UInt8] {
    let message = message
    var record: [UInt8] = []
    record.appendLittleEndian(UInt64(message.count))
    record.appendLittleEndian(CRC32C.masked(record))
    record += message
    record.appendLittleEndian(CRC32C.masked(message))
    return record
  }
}

extension [UInt8] {
  fileprivate mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}
