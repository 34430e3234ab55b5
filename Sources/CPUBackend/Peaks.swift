// The roofs of this machine, measured: what its processors and memory can do at most. A kernel's speed, and a training
// run's utilisation, is told as a fraction of these.
//
// Invariant: every number is the best of several short runs on the backend's own threads and instruction set, so it
// is what a perfect kernel could reach here and now, not a number from a data sheet.

internal import CKernels
public import Tensors

/// The most that a backend's threads can do.
public struct Peaks: Sendable {
  /// Bytes a second that passes of one kind move, in memory and in the caches. Only what the program asks for is counted: a
  /// line that is read because it is about to be overwritten is not.
  public struct Bandwidth: Sendable {
    /// Reading one array.
    public var read = 0.0
    /// Writing one array, past the caches.
    public var write = 0.0
    /// c = a.
    public var copy = 0.0
    /// c = a + s b.
    public var triad = 0.0
    /// c = c + s a.
    public var update = 0.0
  }

  /// Floating-point operations a second in f32, a multiply-add counted as two.
  public var float32 = 0.0
  /// The same for bf16 products with f32 sums; 0 if the instruction set has none.
  public var bfloat16 = 0.0
  /// The same for int8 products with int32 sums; 0 if the instruction set has none.
  public var int8 = 0.0
  /// Arrays of 64 MiB.
  public var memory = Bandwidth()
  /// Arrays of 3 MiB: larger than a core's own cache, smaller than the shared one of most machines.
  public var cache = Bandwidth()
}

extension CPUBackend {
  /// The most operations a second that this backend's threads can do in products of `type` (float32, bfloat16 or int8; any
  /// other float type counts as float32).
  /// - Parameter seconds: how long to measure.
  public func peakOperations(_ type: ElementType, seconds: Double = 0.1) -> Double {
    let kind: ck_type =
      switch type {
      case .bfloat16: CK_BF16
      case .int8: CK_I8
      default: CK_F32
      }
    let tasks = Int64(threads) * 8
    return engine.run { context in
      best(seconds: seconds) { ck_peak_operations(context, kind, tasks, 20_000) }
    }
  }

  /// Measures everything, in about `seconds`.
  public func measurePeaks(seconds: Double = 1) -> Peaks {
    let share = seconds / 16
    var peaks = Peaks()
    peaks.float32 = peakOperations(.float32, seconds: share)
    peaks.bfloat16 = peakOperations(.bfloat16, seconds: share)
    peaks.int8 = peakOperations(.int8, seconds: share)
    peaks.cache = bandwidth(count: 3 << 18, seconds: share)
    peaks.memory = bandwidth(count: 1 << 24, seconds: share)
    return peaks
  }

  /// Reads all of `values` once, which is what a step of a decoder does with its weights at least; returns the bytes read.
  package func readThrough(_ values: [TensorData]) -> Int {
    engine.run { context in
      values.reduce(0) { total, value in
        // From the first address that vectors are loaded from.
        let skipped = -Int(bitPattern: value.pointer) & 63
        let floats = (value.pointer + skipped).assumingMemoryBound(to: Float.self)
        let count = Int64(max(0, value.type.bytes - skipped) / 4)
        return total + Int(ck_stream_pass(context, CK_STREAM_READ, count, floats, nil, nil))
      }
    }
  }

  private func bandwidth(count: Int, seconds: Double) -> Peaks.Bandwidth {
    let arrays = (0..<3).map { _ in
      let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count * 4, alignment: 64)
      bytes.initializeMemory(as: Float.self, repeating: 1)
      return bytes.baseAddress!.assumingMemoryBound(to: Float.self)
    }
    defer { for array in arrays { array.deallocate() } }
    return engine.run { context in
      func rate(_ stream: ck_stream) -> Double {
        best(seconds: seconds) {
          ck_stream_pass(context, stream, Int64(count), arrays[0], arrays[1], arrays[2])
        }
      }
      return Peaks.Bandwidth(
        read: rate(CK_STREAM_READ), write: rate(CK_STREAM_WRITE), copy: rate(CK_STREAM_COPY),
        triad: rate(CK_STREAM_TRIAD), update: rate(CK_STREAM_UPDATE))
    }
  }

  /// The highest rate of `body`, which returns how much it did, over at least four runs after one to warm up.
  private func best(seconds: Double, _ body: () -> Int64) -> Double {
    let clock = ContinuousClock()
    let begin = clock.now
    var best = 0.0
    var runs = 0
    while runs < 5 || clock.now - begin < .seconds(seconds) {
      let start = clock.now
      let done = Double(body())
      let elapsed = (clock.now - start) / .seconds(1)
      if runs > 0, elapsed > 0 { best = max(best, done / elapsed) }
      runs += 1
      if done == 0 { break }
    }
    return best
  }
}
