// What warps do when, from inside a kernel: at the beginning and the end of each part a thread writes a record to a buffer.
//
// A buffer in global memory, little-endian: a header of 16 bytes (u32 records asked for, u32 records that there is room for,
// 8 bytes 0), then records of 24 bytes: u64 %globaltimer in nanoseconds, u32 %smid, u32 the block's number in the grid, u32 the
// warp's number in the block, u32 tag. A tag is twice the part's number, plus 1 at its end. A writer adds 1 to the first word of
// the header, atomically, and writes its record at the index that it gets, unless that is beyond the room.
//
// Invariant: reading a buffer never fails: what was lost for want of room, and parts without an end, are counted.

internal import Core

/// A part of a warp's time.
package struct RoleSpan: Sendable, Hashable {
  /// A name of the timeline's list.
  package let part: String
  package let multiprocessor: Int
  package let block: Int
  package let warp: Int
  /// In seconds, since the first record.
  package let start: Double
  /// In seconds.
  package let duration: Double

  package init(part: String, multiprocessor: Int, block: Int, warp: Int, start: Double, duration: Double) {
    (self.part, self.multiprocessor, self.block, self.warp) = (part, multiprocessor, block, warp)
    (self.start, self.duration) = (start, duration)
  }
}

/// What a kernel's warps have recorded.
package struct RoleTimeline: Sendable {
  /// In the order of their beginnings.
  package let spans: [RoleSpan]
  /// Records that did not fit into the buffer.
  package let lost: Int
  /// Beginnings without an end, and ends without a beginning.
  package let unpaired: Int

  package static let headerBytes = 16
  package static let recordBytes = 24

  /// A buffer with room for so many records, to be copied to the device before the kernel starts.
  package static func emptyBuffer(records: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: headerBytes + records * recordBytes)
    bytes.withUnsafeMutableBytes { $0.storeBytes(of: UInt32(records).littleEndian, toByteOffset: 4, as: UInt32.self) }
    return bytes
  }

  /// What a tag says.
  package static func tag(part: Int, isEnd: Bool) -> UInt32 { UInt32(part) << 1 | (isEnd ? 1 : 0) }

  /// Reads a buffer.
  ///
  /// - Parameter parts: the names of the parts by number.
  package init(_ bytes: UnsafeRawBufferPointer, parts: [String]) {
    func word(_ offset: Int) -> Int {
      Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }
    guard bytes.count >= Self.headerBytes else {
      (spans, lost, unpaired) = ([], 0, 0)
      return
    }
    let asked = word(0)
    let count = min(asked, word(4), (bytes.count - Self.headerBytes) / Self.recordBytes)
    let records = (0..<count).map { index -> Record in
      let offset = Self.headerBytes + index * Self.recordBytes
      return Record(
        nanoseconds: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
        multiprocessor: word(offset + 8), block: word(offset + 12), warp: word(offset + 16), tag: word(offset + 20))
    }
    (spans, unpaired) = Self.pair(records, parts)
    lost = asked - count
  }

  private struct Record {
    let nanoseconds: UInt64
    let multiprocessor: Int
    let block: Int
    let warp: Int
    let tag: Int
  }

  /// What a beginning and its end have in common.
  private struct Place: Hashable {
    let block: Int
    let warp: Int
    let part: Int
  }

  private static func pair(_ records: [Record], _ parts: [String]) -> ([RoleSpan], unpaired: Int) {
    // Records of one warp are written in order, but those of many warps mix, and the timer moves in steps.
    let first = records.map(\.nanoseconds).min() ?? 0
    var open: [Place: [Record]] = [:]
    var spans: [RoleSpan] = []
    var unpaired = 0
    for record in records {
      let place = Place(block: record.block, warp: record.warp, part: record.tag >> 1)
      if record.tag & 1 == 0 {
        open[place, default: []].append(record)
      } else if let begin = open[place]?.popLast() {
        let name = place.part < parts.count ? parts[place.part] : "part \(place.part)"
        let nanoseconds = record.nanoseconds > begin.nanoseconds ? record.nanoseconds - begin.nanoseconds : 0
        spans.append(
          RoleSpan(
            part: name, multiprocessor: begin.multiprocessor, block: begin.block, warp: begin.warp,
            start: Double(begin.nanoseconds - first) * 1e-9, duration: Double(nanoseconds) * 1e-9))
      } else {
        unpaired += 1
      }
    }
    unpaired += open.values.reduce(0) { $0 + $1.count }
    return (spans.sorted { ($0.start, $0.block, $0.warp) < ($1.start, $1.block, $1.warp) }, unpaired)
  }
}
