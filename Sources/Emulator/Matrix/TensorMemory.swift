// Tensor memory: 128 lanes of 512 columns of 32 bits on each multiprocessor of sm_100, where the accumulators of tcgen05 are.
//
// Columns are allocated by blocks, in powers of two from 32 on. Instructions that read and write it are asynchronous; the log keeps
// those that nothing has yet taken the place of, and a new one must be ordered behind each that it conflicts with: by the
// pipeline that both are in, or because its completion is known (an mbarrier that tcgen05.commit has signalled, or
// tcgen05.wait), with the fences in between. What is found so does not depend on when things happen to land.
//
// Invariant: two entries of the log that conflict are ordered. A word is valid iff something was written to it since its column was
// allocated.
//
// PTX ISA 9.0, "Tensor Memory" and "Memory Consistency Model for 5th generation of TensorCore operations".

internal import KernelLanguage

/// Lanes and columns of tensor memory.
struct TensorRectangle: Hashable, CustomStringConvertible {
  var lanes: Range<Int>
  var columns: Range<Int>

  func overlaps(_ other: TensorRectangle) -> Bool { lanes.overlaps(other.lanes) && columns.overlaps(other.columns) }
  func contains(_ other: TensorRectangle) -> Bool {
    lanes.lowerBound <= other.lanes.lowerBound && lanes.upperBound >= other.lanes.upperBound
      && columns.lowerBound <= other.columns.lowerBound && columns.upperBound >= other.columns.upperBound
  }

  var description: String {
    "lanes \(lanes.lowerBound)-\(lanes.upperBound - 1), columns \(columns.lowerBound)-\(columns.upperBound - 1)"
  }
}

/// The tensor memory of one multiprocessor.
final class TensorMemory: Waitable {
  static let lanes = 128
  static let columns = 512

  struct Allocation {
    unowned let block: ThreadBlock
    var columns: Range<Int>
  }

  let words: UnsafeMutablePointer<UInt32>
  private let isValid: UnsafeMutablePointer<Bool>
  private(set) var allocations: [Allocation] = []
  private var log: [TensorOperation] = []

  init() {
    let count = TensorMemory.lanes * TensorMemory.columns
    words = .allocate(capacity: count)
    words.initialize(repeating: 0xA5A5_A5A5, count: count)
    isValid = .allocate(capacity: count)
    isValid.initialize(repeating: false, count: count)
  }

  deinit {
    words.deallocate()
    isValid.deallocate()
  }

  var waitDescription: String {
    let list = allocations.map { "\($0.columns.count) of block \($0.block.name)" }.joined(separator: ", ")
    return "columns of tensor memory, of which \(list) are allocated: let blocks give theirs back with tcgen05.dealloc"
  }

  // MARK: Allocation

  /// The first free place for so many columns.
  func place(for count: Int) -> Int? {
    stride(from: 0, through: TensorMemory.columns - count, by: 32).first { first in
      !allocations.contains { $0.columns.overlaps(first..<first + count) }
    }
  }

  func allocate(_ columns: Range<Int>, for block: ThreadBlock) {
    allocations.append(Allocation(block: block, columns: columns))
    for lane in 0..<TensorMemory.lanes {
      for column in columns { isValid[lane * TensorMemory.columns + column] = false }
    }
  }

  /// Throws unless these are all columns of one allocation of the block.
  func free(_ columns: Range<Int>, of block: ThreadBlock) throws(EmulatorError) {
    guard let index = allocations.firstIndex(where: { $0.block === block && $0.columns == columns }) else {
      let own = allocations.filter { $0.block === block }.map { "\($0.columns.count) from \($0.columns.lowerBound) on" }
      throw EmulatorError(
        .tensorMemory,
        "tcgen05.dealloc of \(columns.count) columns from \(columns.lowerBound) on, which block \(block.name) has not allocated so: "
          + (own.isEmpty ? "it has none" : "it has \(own.joined(separator: ", "))"))
    }
    allocations.remove(at: index)
    log.removeAll { $0.touches(columns) }
  }

  /// Columns that a block has not given back.
  func columns(of block: ThreadBlock) -> [Range<Int>] { allocations.filter { $0.block === block }.map(\.columns) }

  /// Throws unless the rectangle lies in one allocation of the block.
  func require(_ rectangle: TensorRectangle, of block: ThreadBlock) throws(EmulatorError) {
    guard rectangle.lanes.upperBound <= TensorMemory.lanes, rectangle.columns.upperBound <= TensorMemory.columns else {
      throw EmulatorError(.tensorMemory, "\(rectangle) of tensor memory do not exist: it has 128 lanes of 512 columns")
    }
    for allocation in allocations
    where allocation.block === block && allocation.columns.lowerBound <= rectangle.columns.lowerBound
      && allocation.columns.upperBound >= rectangle.columns.upperBound
    { return }
    let own = columns(of: block).map { "\($0.lowerBound)-\($0.upperBound - 1)" }
    throw EmulatorError(
      .tensorMemory,
      "\(rectangle) of tensor memory are not allocated by block \(block.name), which has "
        + (own.isEmpty ? "none: use tcgen05.alloc first" : "columns \(own.joined(separator: ", "))"))
  }

  // MARK: Order

  /// An instruction begins to use tensor memory: throws unless it is ordered behind all that it conflicts with.
  func begin(_ new: TensorOperation, by thread: TensorThread) throws(EmulatorError) {
    for old in log where new.conflicts(with: old) && !thread.isOrdered(old, before: new) {
      throw thread.unordered(old, new)
    }
    log.removeAll { new.covers($0) }
    log.append(new)
  }

  /// Throws unless all that uses these columns is known to be done.
  func requireDone(_ columns: Range<Int>, by thread: TensorThread) throws(EmulatorError) {
    for old in log where old.touches(columns) && !thread.isDone(old, needsFence: false) {
      throw EmulatorError(
        .inFlight,
        "tcgen05.dealloc of columns that \(old.text) may still use: wait for it first, with an mbarrier that tcgen05.commit "
          + "signals, or with tcgen05.wait and a barrier")
    }
  }

  // MARK: Words

  @inline(__always)
  func load(_ lane: Int, _ column: Int) throws(EmulatorError) -> UInt32 {
    let place = lane * TensorMemory.columns + column
    guard isValid[place] else {
      throw EmulatorError(
        .uninitialised,
        "lane \(lane), column \(column) of tensor memory is read, but nothing was written to it since it was allocated: begin "
          + "accumulators with enable-input-d 0, or fill them with tcgen05.st or tcgen05.cp")
    }
    return words[place]
  }

  @inline(__always)
  func store(_ value: UInt32, _ lane: Int, _ column: Int) {
    let place = lane * TensorMemory.columns + column
    words[place] = value
    isValid[place] = true
  }
}

/// One asynchronous instruction that uses tensor memory. It leaves the log when its columns are given back, before its block ends.
final class TensorOperation {
  /// What follows what without waiting: instructions of one pipeline.
  enum Pipeline: Hashable {
    /// `mma`: those of one accumulator and shape.
    case product(String)
    case copy
    case load
    case store
  }

  let pipeline: Pipeline
  let reads: [TensorRectangle]
  let writes: [TensorRectangle]
  /// For messages: "tcgen05.mma of instruction 12".
  let text: String
  unowned let warp: Warp
  /// The cluster's actor whose time tells of its completion, and when it was issued; nil without a detector.
  let actor: Int?
  let time: Time
  /// The issuing warp's own time then: who knows it comes after the issue.
  let issue: Time

  init(
    _ pipeline: Pipeline, reads: [TensorRectangle], writes: [TensorRectangle], by warp: Warp, actor: Int?
  ) {
    (self.pipeline, self.reads, self.writes, self.warp, self.actor) = (pipeline, reads, writes, warp, actor)
    time = warp.order?.detector.tick() ?? 0
    issue = warp.order?.epoch ?? 0
    let instruction = warp.kernel.instructions[Int(warp.pc)]
    text = "\(instruction.opcode).\(instruction.modifiers.first ?? "") of instruction \(warp.pc) by warp \(warp.index)"
  }

  func conflicts(with old: TensorOperation) -> Bool {
    writes.contains { new in old.writes.contains { $0.overlaps(new) } || old.reads.contains { $0.overlaps(new) } }
      || reads.contains { new in old.writes.contains { $0.overlaps(new) } }
  }

  /// Whether who is ordered behind this one is behind the other, too.
  fileprivate func covers(_ old: TensorOperation) -> Bool {
    let isSame = actor == old.actor
    return old.writes.allSatisfy { rectangle in writes.contains { $0.contains(rectangle) } }
      && old.reads.allSatisfy { rectangle in
        writes.contains { $0.contains(rectangle) } || isSame && reads.contains { $0.contains(rectangle) }
      }
  }

  fileprivate func touches(_ columns: Range<Int>) -> Bool {
    (reads + writes).contains { $0.columns.overlaps(columns) }
  }
}
