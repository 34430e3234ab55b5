import ArgumentParser
import CKernels
import CPUBackend
import Core
import FoundationEssentials
import GPUBackend
import KernelLanguage
import Tensors
import Training

struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what this machine has and what will be used.",
    discussion: "Example:\n  tachornis doctor")

  @Option(help: "Threads to compute with.")
  var threads: Int?

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads); it must be 1 or more.") }
  }

  func run() throws {
    let backend = CPUBackend(threads: threads)
    let sets = CPUBackend.InstructionSet.allCases.filter { $0 != .amxEmulated }
    row("processor", Doctor.field("model name", in: "/proc/cpuinfo") ?? "unknown")
    row("processors", "\(CPUBackend.processors), of which \(backend.threads) will be used")
    row("memory", Doctor.memory ?? "unknown")
    row("disk free here", Doctor.freeDisk ?? "unknown")
    row(
      "instruction sets",
      sets.map { "\($0) \($0 == backend.instructionSet ? "used" : $0.isAvailable ? "yes" : "no")" }.joined(
        separator: ", "))
    row("native bf16", ck_has_bf16() ? "yes" : "no: products of bfloat16 are computed in float32")
    row("native int8", ck_has_vnni() ? "yes" : "no")
    for element in [ElementType.float32, .bfloat16] {
      let peak = try ComputePeak.measure(element, backend: backend, clock: MonotonicClock())
      row("\(element) products", "\(Numerals.fixed(peak / 1e9, 0)) GFLOP/s")
    }
    for (index, text) in Doctor.gpus.enumerated() { row(index == 0 ? "GPU" : "", text) }
    writeOutput("\n`tachornis bench` measures every kernel against the machine's limits.\n")
  }

  private func row(_ name: String, _ value: String) {
    writeOutput(name + String(repeating: " ", count: max(1, 20 - name.count)) + value + "\n")
  }

  private static func field(_ name: String, in path: String) -> String? {
    guard let data = try? Data(contentsOf: URL(filePath: path)) else { return nil }
    let line = String(decoding: data, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name) }
    return line?.split(separator: ":", maxSplits: 1).last.map { String($0.drop { $0 == " " || $0 == "\t" }) }
  }

  /// One line a GPU, or why there is none.
  private static var gpus: [String] {
    do {
      return try CUDADriver.open().devices().map { properties in
        "\(properties.name), \(properties.multiprocessors) multiprocessors, \(Numerals.bytes(properties.memoryBytes)), "
          + "kernels for \(properties.target.name)"
      }
    } catch {
      return ["none: \(error)", "`--device emulator` runs the GPU's kernels on the processor"]
    }
  }

  private static var memory: String? {
    func bytes(_ name: String) -> Int? {
      field(name, in: "/proc/meminfo").flatMap { $0.split(separator: " ").first }.flatMap { Int($0) }.map { $0 * 1024 }
    }
    guard let total = bytes("MemTotal"), let free = bytes("MemAvailable") else { return nil }
    return "\(Numerals.bytes(total)), of which \(Numerals.bytes(free)) are free"
  }

  private static var freeDisk: String? {
    let attributes = try? FileManager.default.attributesOfFileSystem(forPath: ".")
    guard let free = attributes?[.systemFreeSize] as? UInt64 else { return nil }
    return Numerals.bytes(Int(free))
  }
}
