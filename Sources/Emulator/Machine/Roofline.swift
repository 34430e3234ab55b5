// A first estimate of a launch's time on a chip: how long each resource would be busy if it were used all the time, and which one
// binds.
//
// A roofline, not a model of time: latencies, dependences and the order of things are left out, so a real kernel is slower. The
// calibrated timing model will take the same counts.
//
// Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009), doi:10.1145/1498765.1498785.

internal import Core

/// The resources of a chip, each with the time that a launch keeps it busy.
public struct Roofline: Hashable, Sendable, CustomStringConvertible {
  public enum Resource: String, Hashable, Sendable, CaseIterable {
    case tensorCores = "tensor cores"
    case multiplyAdd = "FMA pipe"
    case integer = "integer pipe"
    case specialFunctions = "special functions"
    case sharedMemory = "shared memory"
    case cache = "L2 cache"
    case deviceMemory = "device memory"
    case issue = "issue slots"
  }

  public struct Row: Hashable, Sendable {
    public var resource: Resource
    /// What it had to do, in its own unit, for people: `1.07 GFLOP`.
    public var work: String
    /// Busy, if it were alone.
    public var seconds: Double
  }

  public let kernel: String
  public let chip: String
  /// Multiprocessors that had a block.
  public let multiprocessors: Int
  public let rows: [Row]

  /// The resource that needs the most time.
  public var binding: Resource { rows.max { $0.seconds < $1.seconds }!.resource }
  /// The least time that the launch can take.
  public var seconds: Double { rows.map(\.seconds).max()! }

  init(_ report: LaunchReport, on chip: Chip) {
    (kernel, self.chip) = (report.kernel, chip.name)
    multiprocessors = max(1, min(report.blocks, chip.multiprocessors))
    let cycles = chip.clock * Double(multiprocessors)
    func count(_ units: FunctionalUnit...) -> Double {
      Double(units.reduce(0) { $0 + (report.instructions[$1.rawValue] ?? 0) }) * 32
    }
    var rows: [Row] = []
    func add(_ resource: Resource, _ work: String, _ seconds: Double) {
      rows.append(Row(resource: resource, work: work, seconds: seconds))
    }
    let operations = report.tensorOperations.values.reduce(0, +)
    let tensorSeconds = report.tensorOperations.reduce(0.0) { sum, item in
      sum + item.value / ((chip.tensorRates[item.key] ?? .infinity) * cycles)
    }
    add(.tensorCores, Numerals.scaled(operations, unit: "FLOP"), tensorSeconds)
    // Lanes a cycle of one multiprocessor: 128 for f32 and packed halves, 64 for integers and f64, 16 for the rest.
    let float = count(.float32, .half)
    add(
      .multiplyAdd, Numerals.scaled(float) + " lane instructions",
      float / (128 * cycles) + count(.float64) / (64 * cycles))
    add(.integer, Numerals.scaled(count(.integer)) + " lane instructions", count(.integer) / (64 * cycles))
    let special = count(.special, .conversion)
    add(.specialFunctions, Numerals.scaled(special) + " lane instructions", special / (16 * cycles))
    add(
      .sharedMemory, "\(Numerals.grouped(report.sharedPasses)) passes",
      Double(report.sharedPasses * 128) / (chip.sharedRate * cycles))
    let sectorBytes = (report.globalLoadSectors + report.globalStoreSectors) * 32 + report.asynchronousBytes
    add(.cache, Numerals.bytes(sectorBytes), Double(sectorBytes) / (chip.cacheRate * cycles))
    // What the cache keeps is not known here: memory moves at most what went through the cache, and at least each byte once.
    let touched = min(sectorBytes, report.footprintBytes)
    add(.deviceMemory, Numerals.bytes(touched), Double(touched) / chip.memoryBandwidth)
    add(
      .issue, Numerals.scaled(Double(report.warpInstructions)) + " warp instructions",
      Double(report.warpInstructions) / (4 * cycles))
    self.rows = rows
  }

  /// A table, the binding resource marked.
  public var description: String {
    let width = rows.map { $0.resource.rawValue.count }.max()!
    let work = rows.map(\.work.count).max()!
    let head = "\(kernel) on \(chip), \(multiprocessors) multiprocessors: at least \(Numerals.duration(seconds))"
    let lines = rows.map { row in
      let name = row.resource.rawValue
      return "  " + name + String(repeating: " ", count: width - name.count + 2)
        + row.work + String(repeating: " ", count: work - row.work.count + 2)
        + Numerals.duration(row.seconds) + (row.resource == binding ? "  <- binds" : "")
    }
    return ([head] + lines).joined(separator: "\n")
  }
}

extension LaunchReport {
  /// What the launch needs at least on a chip, and what binds it.
  public func roofline(on chip: Chip) -> Roofline { Roofline(self, on: chip) }
}
