// A byte in memory that asynchronous instructions read or write: in a block's shared memory, or in global memory.

internal import KernelLanguage

/// Where bytes are.
struct MemoryPlace {
  /// The owner of the shared memory; nil: global memory.
  var block: ThreadBlock?
  /// In the block's shared memory, or in global memory.
  var address: UInt64

  static func shared(_ block: ThreadBlock, _ offset: Int) -> MemoryPlace {
    MemoryPlace(block: block, address: UInt64(offset))
  }
  static func global(_ address: UInt64) -> MemoryPlace { MemoryPlace(block: nil, address: address) }

  static func + (place: MemoryPlace, bytes: Int) -> MemoryPlace {
    MemoryPlace(block: place.block, address: UInt64(truncatingIfNeeded: Int(truncatingIfNeeded: place.address) + bytes))
  }

  var isShared: Bool { block != nil }

  /// For messages: `shared 0x480 of block (0, 0, 0)`, `0x1000000000, at byte 0 of "a" …`.
  func description(on gpu: EmulatedGPU) -> String {
    let number = "0x" + String(address, radix: 16)
    if let block { return "shared \(number) of block \(block.name)" }
    return "global \(number), \(gpu.memory.neighbourhood(of: address))"
  }

  /// The bytes in the emulator's memory. Throws `outOfBounds` where they are not all there.
  func bytes(_ count: Int, on gpu: EmulatedGPU) throws(EmulatorError) -> UnsafeMutableRawPointer {
    if let block {
      let offset = Int(address)
      guard offset >= Chip.reservedSharedBytes, offset + count <= block.sharedBytes else {
        throw EmulatorError(
          .outOfBounds,
          "\(count) bytes at \(description(on: gpu)) leave the block's shared memory, which ends at "
            + "0x\(String(block.sharedBytes, radix: 16)): mend the address, or launch with more dynamic shared memory")
      }
      return block.shared + offset
    }
    guard let pointer = gpu.memory.pointer(address, count) else {
      throw EmulatorError(
        .outOfBounds,
        "\(count) bytes at \(description(on: gpu)): the access must stay in one allocation")
    }
    return pointer
  }

  /// Calls `body` with the shadow of each part of `count` bytes from here on, and where in the shadow the part lies.
  @inline(__always)
  func forEachPart<E>(
    _ count: Int, of detector: RaceDetector, _ body: (Shadow, _ offset: Int, _ count: Int) throws(E) -> Void
  ) throws(E) {
    if let block {
      try body(block.order!.shadow, Int(address), count)
    } else {
      try detector.global.forEachPart(address, count, body)
    }
  }
}
