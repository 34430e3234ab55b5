// The roofs of the roofline: the passes over memory compute what they say, and the measured numbers are possible.

import CKernels
import CPUBackend
import Testing

struct PeaksTests {
  @Test("passes over memory read and write what they say", arguments: CPUBackend.InstructionSet.available)
  func passes(_ set: CPUBackend.InstructionSet) {
    let backend = CPUBackend(threads: 2, instructionSet: set)
    // Sixteen floats at a time, 32768 a task: one task, several, and a rest that is left alone.
    for count in [0, 16, 48, 32768, 3 * 32768 + 80, 100_007] {
      let done = count - count % 16
      let arrays = (0..<3).map { _ in
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(64, count * 4), alignment: 64)
        return bytes.bindMemory(to: Float.self)
      }
      defer { for array in arrays { array.deallocate() } }
      let (a, b, c) = (arrays[0], arrays[1], arrays[2])
      func expect(_ stream: ck_stream, arrays moved: Int, _ value: (Float, Float, Float) -> Float) {
        for i in 0..<count { (a[i], b[i], c[i]) = (Float(i % 101), Float(i % 7), Float(i % 13)) }
        let bytes = backend.engine.run {
          ck_stream_pass($0, stream, Int64(count), a.baseAddress, b.baseAddress, c.baseAddress)
        }
        #expect(Int(bytes) == 4 * moved * done)
        let wrong = (0..<count).first { i in
          let before = (Float(i % 101), Float(i % 7), Float(i % 13))
          return c[i] != (i < done ? value(before.0, before.1, before.2) : before.2)
        }
        #expect(wrong == nil, "\(stream) over \(count) floats, with \(set)")
      }
      expect(CK_STREAM_READ, arrays: 1) { _, _, c in c }
      expect(CK_STREAM_WRITE, arrays: 1) { _, _, _ in 0 }
      expect(CK_STREAM_COPY, arrays: 2) { a, _, _ in a }
      expect(CK_STREAM_TRIAD, arrays: 3) { a, b, _ in a + 0.5 * b }
      expect(CK_STREAM_UPDATE, arrays: 3) { a, _, c in c + 0.5 * a }
    }
  }

  @Test("operations are counted per task and round", arguments: CPUBackend.InstructionSet.available)
  func operations(_ set: CPUBackend.InstructionSet) {
    let backend = CPUBackend(threads: 2, instructionSet: set)
    backend.engine.run { context in
      let one = ck_peak_operations(context, CK_F32, 1, 1)
      #expect(one > 0)
      #expect(ck_peak_operations(context, CK_F32, 3, 1000) == 3000 * one)
      #expect(ck_peak_operations(context, CK_F32, 0, 1000) == 0)
      #expect(ck_peak_operations(context, CK_BOOL, 1, 1) == 0)
    }
  }

  @Test func measured() {
    let peaks = CPUBackend(threads: 1).measurePeaks(seconds: 0.05)
    // Faster than a bicycle, slower than anything that is built.
    let operations = 1e8...1e14
    #expect(operations.contains(peaks.float32))
    for (rate, available) in [(peaks.bfloat16, ck_has_bf16()), (peaks.int8, ck_has_vnni())] where available {
      #expect(operations.contains(rate))
    }
    for roofs in [peaks.memory, peaks.cache] {
      for rate in [roofs.read, roofs.write, roofs.copy, roofs.triad, roofs.update] {
        #expect((1e7...1e13).contains(rate))
      }
    }
  }
}
