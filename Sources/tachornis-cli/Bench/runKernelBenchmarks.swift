// The roofline: the machine's measured peaks, and every kernel's speed next to them.
//
// Invariant: with `json`, standard output is JSON lines and nothing else, one per peak and per case, with the keys of
// Scripts/peers/measure.py.

internal import CKernels
internal import CPUBackend
internal import Core

/// Measures the peaks of the machine and the kernels whose title contains `filter` (all if it is empty), and prints a table,
/// or JSON lines.
/// - Parameters:
///   - filter: matched against `name type shape variant`, for example `matmul bf16` or `1024x768`; `peaks` matches none.
///   - threads: as many as there are processors if nil.
///   - seconds: of timing per case.
///   - emit: takes one line of output.
/// - Returns: how many kernels were measured.
@discardableResult
func runKernelBenchmarks(
  filter: String, json: Bool, threads: Int?, seconds: Double, emit: (String) -> Void
) -> Int {
  let all =
    KernelBenchmark.products + KernelBenchmark.attentions + KernelBenchmark.pages + KernelBenchmark.crossEntropies
    + KernelBenchmark.blocks + KernelBenchmark.decoding + KernelBenchmark.rowKernels + KernelBenchmark.optimizers
  let kernels = all.filter { filter.isEmpty || $0.title.contains(filter) }
  guard !kernels.isEmpty || filter == "peaks" else { return 0 }

  let backend = CPUBackend(threads: threads)
  let peaks = backend.measurePeaks()
  report(peaks, of: backend, json: json, emit: emit)
  if !json, !kernels.isEmpty {
    emit("")
    emit(
      padded("kernel", 14) + padded("type", 6) + padded("shape", 18) + padded("variant", 18)
        + right("time", 9) + right("GFLOP/s", 10) + right("GB/s", 8) + right("of the roof", 13))
  }
  for kernel in kernels {
    let time = kernel.measure(on: backend.engine, seconds: seconds)
    let bound = kernel.bound(peaks)
    let operations = kernel.operations / time / 1e9
    let bandwidth = kernel.bytes / time / 1e9
    if json {
      var line = JSONObject([
        ("name", .string(kernel.name)), ("type", .string(kernel.typeName)), ("shape", .string(kernel.shape)),
        ("variant", .string(kernel.variant)), ("seconds", number(time)),
      ])
      if kernel.operations > 0 { line["gflops"] = number(operations) }
      line["gbps"] = number(bandwidth)
      line["roofline"] = number(bound / time)
      emit(JSONValue.object(line).json)
    } else {
      emit(
        padded(kernel.name, 14) + padded(kernel.typeName, 6) + padded(kernel.shape, 18) + padded(kernel.variant, 18)
          + right(Numerals.duration(time), 9)
          + right(kernel.operations > 0 ? Numerals.significant(operations) : "-", 10)
          + right(Numerals.significant(bandwidth), 8) + right("\(Int((100 * bound / time).rounded()))%", 13))
    }
  }
  return kernels.count
}

private func report(_ peaks: Peaks, of backend: CPUBackend, json: Bool, emit: (String) -> Void) {
  let operations = [("f32", peaks.float32), ("bf16", peaks.bfloat16), ("i8", peaks.int8)].filter { $0.1 > 0 }
  let places = [("cache", peaks.cache), ("memory", peaks.memory)]
  func rates(_ bandwidth: Peaks.Bandwidth) -> [(String, Double)] {
    [
      ("read", bandwidth.read), ("write", bandwidth.write), ("copy", bandwidth.copy), ("triad", bandwidth.triad),
      ("update", bandwidth.update),
    ]
  }
  if json {
    for (type, rate) in operations {
      let line: JSONObject = JSONObject([
        ("name", "peak"), ("type", .string(type)), ("shape", "registers"), ("variant", "multiply-add"),
        ("gflops", number(rate / 1e9)),
      ])
      emit(JSONValue.object(line).json)
    }
    for (place, bandwidth) in places {
      for (pass, rate) in rates(bandwidth) {
        let line = JSONObject([
          ("name", "peak"), ("type", "f32"), ("shape", .string(place)), ("variant", .string(pass)),
          ("gbps", number(rate / 1e9)),
        ])
        emit(JSONValue.object(line).json)
      }
    }
  } else {
    emit("measured peaks of \(backend.name)")
    let list = operations.map { "\($0.0) \(Numerals.significant($0.1 / 1e9)) GFLOP/s" }
    emit("  registers  " + list.joined(separator: ", "))
    for (place, bandwidth) in places {
      let list = rates(bandwidth).map { "\($0.0) \(Numerals.significant($0.1 / 1e9))" }
      emit("  " + padded(place, 11) + list.joined(separator: ", ") + " GB/s")
    }
  }
}

private func number(_ value: Double) -> JSONValue { .number(JSONNumber(value)) }

private func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(1, width - text.count))
}

private func right(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(1, width - text.count)) + text
}
