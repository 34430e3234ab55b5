// One measurement of one kernel, and how it is taken.
//
// Invariant: a benchmark's work is independent of how often it runs, and its memory is made when it is about to run and
// given back right after, so that the list of all of them costs nothing.

internal import CKernels
internal import CPUBackend
internal import Core

/// A kernel on one shape.
struct KernelBenchmark {
  /// Which of the measured bandwidths bounds a kernel, by what it reads and writes.
  enum Traffic { case read, copy, triad, update }

  var name: String
  var type: ck_type
  /// As the peers' programs write it: `1024x768x768`.
  var shape: String
  var variant: String
  /// Operations of one run, a multiply-add counted as two; 0 where only bytes matter.
  var operations: Double = 0
  /// Bytes that must move in one run, each input and output once.
  var bytes: Double
  var traffic: Traffic = .copy
  /// Makes the operands, and the closure that is timed.
  var prepare: (UnsafePointer<ck_context>) -> () -> Void

  /// What `--filter` is matched against.
  var title: String { "\(name) \(typeName) \(shape) \(variant)" }

  var typeName: String {
    switch type {
    case CK_BF16: "bf16"
    case CK_I8: "i8"
    default: "f32"
    }
  }

  /// Seconds that the measured peaks of the machine allow at best: the roofline.
  func bound(_ peaks: Peaks) -> Double {
    let peak =
      switch type {
      case CK_BF16: peaks.bfloat16 > 0 ? peaks.bfloat16 : peaks.float32
      case CK_I8: peaks.int8 > 0 ? peaks.int8 : peaks.float32
      default: peaks.float32
      }
    // What is touched again and again stays in the last-level cache if it fits; 16 MiB do on most machines.
    let roofs = bytes <= Double(16 << 20) ? peaks.cache : peaks.memory
    let rate =
      switch traffic {
      case .read: roofs.read
      case .copy: roofs.copy
      case .triad: roofs.triad
      case .update: roofs.update
      }
    return max(peak > 0 ? operations / peak : 0, rate > 0 ? bytes / rate : 0)
  }

  /// The median time of one run, in seconds.
  func measure(on engine: Engine, seconds: Double) -> Double {
    engine.run { context in
      medianTime(seconds: seconds, prepare(context))
    }
  }
}

/// The median time of a call of `body`, in seconds: a few to warm up, then at least five for about `seconds`.
func medianTime(
  seconds: Double, between: () -> Void = {}, _ body: () throws -> Void
) rethrows -> Double {
  let clock = ContinuousClock()
  var begin = clock.now
  for _ in 0..<3 {
    try body()
    if clock.now - begin > .seconds(1) { break }
  }
  var times: [Double] = []
  begin = clock.now
  while times.count < 5 || (clock.now - begin < .seconds(seconds) && times.count < 2000) {
    let start = clock.now
    try body()
    times.append((clock.now - start) / .seconds(1))
    between()
    // What takes seconds is not run five times.
    if times.count >= 3, clock.now - begin > .seconds(4 * seconds + 4) { break }
  }
  return medianOfSorted(times.sorted())
}

/// - Precondition: there is one at least.
func medianOfSorted(_ times: [Double]) -> Double {
  let middle = times.count / 2
  return times.count % 2 == 1 ? times[middle] : (times[middle - 1] + times[middle]) / 2
}

/// Memory for an operand, aligned for vectors; freed with the last reference.
final class Operand {
  let pointer: UnsafeMutableRawPointer
  let count: Int

  /// Zeros.
  init(_ type: ck_type, _ count: Int) {
    let bytes = max(64, count * Int(ck_type_size(type)))
    pointer = .allocate(byteCount: bytes, alignment: 64)
    pointer.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    self.count = count
  }

  /// Room of so many bytes.
  convenience init(scratch bytes: Int) { self.init(CK_I8, bytes) }

  /// Normally distributed numbers; equal arguments give equal numbers.
  static func normal(
    _ context: UnsafePointer<ck_context>, _ type: ck_type, _ count: Int, scale: Double = 1, stream: UInt64 = 0
  ) -> Operand {
    let operand = Operand(type, count)
    // Random floats only: int8 is made from f32, and then spans a quarter of its range.
    let floats = type == CK_I8 ? CK_F32 : type
    let numbers = type == CK_I8 ? Operand(CK_F32, count) : operand
    ck_random(context, CK_RANDOM_NORMAL, floats, 1, stream, Int64(count), numbers.pointer)
    if scale != 1 || type == CK_I8 {
      var program = FusedProgram()
      let x = program.load()
      let factor = program.constant(type == CK_I8 ? 32 : scale)
      program.store(program.binary(CK_MUL, x, factor))
      program.run(context, count: count, inputs: [(numbers, floats)], outputs: [(operand, type)])
    }
    return operand
  }

  /// Integers in `0..<bound`, spread evenly.
  static func indices(_ count: Int, below bound: Int) -> Operand {
    let operand = Operand(CK_I32, count)
    let values = operand.pointer.assumingMemoryBound(to: Int32.self)
    let random = RandomStream(key: 1)
    for index in 0..<count { values[index] = Int32(random.integer(at: UInt64(index), below: bound)) }
    return operand
  }

  deinit { pointer.deallocate() }

  /// The memory as floats.
  func floats() -> UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }
}
