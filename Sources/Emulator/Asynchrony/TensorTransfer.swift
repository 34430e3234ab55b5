// One tensor copy on its way: a box of a tensor in global memory, to or from shared memory.
//
// Invariant: an mbarrier is told of all bytes of the box, also of those outside of the tensor; those are filled when
// they are read, and left alone when they are written.
//
// PTX ISA 9.1, `cp.async.bulk.tensor`, `cp.reduce.async.bulk.tensor`.

internal import KernelLanguage

/// A tensor copy of one thread.
struct TensorTransfer {
  private let warp: Warp
  private let lane: Int
  private let box: TensorBox
  private let block: ThreadBlock
  /// Of the box, in the block's shared memory.
  private let offset: Int

  /// Throws where shared memory has no such place.
  init(_ warp: Warp, _ lane: Int, _ box: TensorBox, _ block: ThreadBlock, _ offset: Int) throws(EmulatorError) {
    (self.warp, self.lane, self.box, self.block, self.offset) = (warp, lane, box, block, offset)
    let pattern = max(128, box.map.swizzle.pattern)
    guard offset % pattern == 0 else {
      throw EmulatorError(
        .misaligned, lane: lane,
        "the tile at shared 0x\(String(offset, radix: 16)) must begin at a multiple of \(pattern) bytes"
          + (pattern > 128 ? ", after which the pattern of its \(box.map.swizzle.span)-byte swizzle repeats" : "")
          + ": declare it with .align \(pattern), or round its address up")
    }
    _ = try MemoryPlace.shared(block, offset).bytes(box.bytes, on: warp.launch.gpu)
  }

  private var place: MemoryPlace { .shared(block, offset) }

  /// Calls `body` with the part of each row that is inside of the tensor.
  private static func forEachRow(
    _ box: TensorBox, _ rows: Range<Int>, _ body: (Int, TensorBox.Row) throws(EmulatorError) -> Void
  ) throws(EmulatorError) {
    for index in rows {
      let row = box.row(index)
      if row.count > 0 { try body(index, row) }
    }
  }

  // MARK: From global memory

  /// Sends the box to shared memory in pieces, each of which an mbarrier is told of.
  func load(telling barrier: BarrierObject) throws(EmulatorError) {
    let access = AsynchronousAccess(by: warp, 1 << LaneMask(lane), actor: barrier.actor)
    let launch = warp.launch
    let gpu = launch.gpu
    try TensorTransfer.forEachRow(box, 0..<box.rows) { (_, row) throws(EmulatorError) in
      _ = try MemoryPlace.global(row.address).bytes(row.count, on: gpu)
      try access?.begin(.read, at: .global(row.address), row.count)
    }
    try access?.begin(.write, at: place, box.bytes)
    barrier.issue(box.bytes)
    launch.counters.pointee.asynchronousBytes += box.bytes
    let (box, block, offset) = (box, block, offset)
    for (start, length) in Transfer.pieces(box.rows, of: 1, launch) {
      launch.later(warp) { () throws(EmulatorError) in
        let time = access.map { _ in gpu.detector!.tick() }
        for index in start..<start + length {
          try TensorTransfer.landRow(index, box, block, offset, access, time, gpu)
        }
        let first = MemoryPlace.shared(block, offset + start * box.rowBytes)
        access?.end(.write, at: first, length * box.rowBytes, time: time, initialises: false)
        try barrier.land(length * box.rowBytes, knowledge: access?.knowledge)
      }
    }
  }

  /// Writes one row of the box, with what stands for elements outside.
  private static func landRow(
    _ index: Int, _ box: TensorBox, _ block: ThreadBlock, _ offset: Int, _ access: AsynchronousAccess?, _ time: Time?,
    _ gpu: EmulatedGPU
  ) throws(EmulatorError) {
    let row = box.row(index)
    let rowBytes = box.rowBytes
    let source = row.count > 0 ? try MemoryPlace.global(row.address).bytes(row.count, on: gpu) : nil
    withUnsafeTemporaryAllocation(byteCount: rowBytes, alignment: 16) { bytes in
      let bytes = bytes.baseAddress!
      if row.count < rowBytes { box.fill(bytes, rowBytes) }
      if let source { (bytes + row.skipped).copyMemory(from: source, byteCount: row.count) }
      box.forEachChunk(row: index, 0, rowBytes, target: offset) { from, count, target in
        (block.shared + target).copyMemory(from: bytes + from, byteCount: count)
      }
    }
    guard let access, let shadow = block.order?.shadow else { return }
    let global = MemoryPlace.global(row.address)
    let isWhole = row.count == 0 || access.hasData(at: global, row.count)
    box.forEachChunk(row: index, 0, rowBytes, target: offset) { _, count, target in
      shadow.mark(target, count, initialised: true)
    }
    if !isWhole {
      box.forEachChunk(row: index, row.skipped, row.skipped + row.count, target: offset) { from, count, target in
        access.carry(from: global + (from - row.skipped), to: .shared(block, target), count)
      }
    }
    if row.count > 0 { access.end(.read, at: global, row.count, time: time) }
  }

  // MARK: To global memory

  /// Sends the box to global memory, as a part of the thread's bulk group: first shared memory is read, later the
  /// tensor written.
  func store(_ reduction: BulkReduction?) throws(EmulatorError) {
    let groups = warp.groups.bulk(lane)
    let group = groups.issue(by: warp, lane)
    let lanes: LaneMask = 1 << LaneMask(lane)
    let change: MemoryAccess.Kind = reduction == nil ? .write : .atomic
    let reading = AsynchronousAccess(by: warp, lanes, actor: groups.readActor)
    let writing = AsynchronousAccess(by: warp, lanes, actor: groups.actor)
    let launch = warp.launch
    let gpu = launch.gpu
    let (box, block, offset, whole) = (box, block, offset, place)
    try reading?.begin(.read, at: whole, box.bytes)
    let needsCheck = reading.map { !$0.hasData(at: whole, box.bytes) } ?? false
    try TensorTransfer.forEachRow(box, 0..<box.rows) { (index, row) throws(EmulatorError) in
      _ = try MemoryPlace.global(row.address).bytes(row.count, on: gpu)
      try writing?.begin(change, at: .global(row.address), row.count)
      guard needsCheck, let reading else { return }
      // What lies outside of the tensor need not have been written.
      var chunks: [(Int, Int)] = []
      box.forEachChunk(row: index, row.skipped, row.skipped + row.count, target: offset) { chunks.append(($2, $1)) }
      for (target, count) in chunks { try reading.requireData(at: .shared(block, target), count) }
    }
    launch.counters.pointee.asynchronousBytes += box.bytes
    let (issued, cluster) = (warp.place(), warp.block.cluster)
    launch.later(warp) { [unowned launch] () throws(EmulatorError) in
      var bytes = [UInt8](repeating: 0, count: box.bytes)
      bytes.withUnsafeMutableBytes { bytes in
        for index in 0..<box.rows {
          box.forEachChunk(row: index, 0, box.rowBytes, target: offset) { from, count, source in
            (bytes.baseAddress! + index * box.rowBytes + from).copyMemory(from: block.shared + source, byteCount: count)
          }
        }
      }
      reading?.end(.read, at: whole, box.bytes)
      group.reading -= 1
      launch.effects.append(
        PendingEffect(place: issued, cluster: cluster, chain: nil) { () throws(EmulatorError) in
          try TensorTransfer.forEachRow(box, 0..<box.rows) { (index, row) throws(EmulatorError) in
            let target = try MemoryPlace.global(row.address).bytes(row.count, on: gpu)
            bytes.withUnsafeBytes {
              Transfer.move(
                $0.baseAddress! + index * box.rowBytes + row.skipped, to: target, row.count, reduction)
            }
            writing?.end(change, at: .global(row.address), row.count)
          }
          group.writing -= 1
        })
    }
  }
}
