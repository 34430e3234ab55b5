// NVIDIA's assembler as a program of its own, `ptxas`: it says of every kernel, on a machine without a GPU, what the driver would
// say of it.

public import Core
internal import FoundationEssentials
public import KernelLanguage

/// The program `ptxas`.
public struct OfflineAssembler: Sendable {
  public let path: String

  public init(path: String) { self.path = path }

  /// The one that `TACHORNIS_PTXAS` names, else the first in the folders of `PATH`; nil: there is none.
  public static func find() -> OfflineAssembler? {
    let variables = ProcessInfo.processInfo.environment
    if let path = variables["TACHORNIS_PTXAS"] { return OfflineAssembler(path: path) }
    let paths = (variables["PATH"] ?? "").split(separator: ":").map { "\($0)/ptxas" }
    return paths.first { FileManager.default.isExecutableFile(atPath: $0) }.map(OfflineAssembler.init(path:))
  }

  /// Assembles a module and throws the code away.
  ///
  /// - Throws: `.assembly` with the assembler's messages, if it refuses the module.
  public func assemble(_ module: PTXModule) throws(GPUError) -> [AssembledKernel] {
    let folder = FileManager.default.temporaryDirectory.path
    let file = "\(folder)/tachornis-\(UUID().uuidString).ptx"
    defer { unlink(file) }
    guard FileManager.default.createFile(atPath: file, contents: Data(module.text.utf8)) else {
      throw GPUError(.assembly, "\(file) cannot be written: set TMPDIR to a folder that can.")
    }
    let run = try output([path, "-v", "-arch=\(module.target.name)", file, "-o", "/dev/null"])
    guard run.status == 0 else {
      throw GPUError(.assembly, "\(path) refuses the module of '\(module.kernels.first?.name ?? "")':\n\(run.text)")
    }
    return AssembledKernel.read(run.text)
  }

  /// Runs a program; what it writes to both of its outputs.
  private func output(_ command: [String]) throws(GPUError) -> (text: String, status: Int32) {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw GPUError(.assembly, "no pipe to \(path)", cause: SystemError("pipe")) }
    defer { close(ends[0]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
    posix_spawn_file_actions_addclose(&actions, ends[0])
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var process = pid_t()
    let code = posix_spawn(&process, path, &actions, nil, &arguments, environ)
    close(ends[1])
    guard code == 0 else {
      throw GPUError(
        .assembly, "The assembler \(path) cannot be started: set TACHORNIS_PTXAS to the path of ptxas.",
        cause: SystemError("start \(path)", errno: code))
    }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(ends[0], &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      bytes += buffer[..<count]
    }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    return (String(decoding: bytes, as: UTF8.self), status)
  }
}

/// What the assembler says of a kernel.
public struct AssembledKernel: Hashable, Sendable {
  public var name: String
  /// Of a thread.
  public var registers = 0
  /// Shared memory that the kernel declares with a size, in bytes.
  public var sharedBytes = 0
  public var barriers = 0
  /// What a thread keeps of its registers in memory, in bytes, stored and loaded.
  public var spillBytes = 0
  /// All that makes code slow: matrix instructions that wait for each other, register budgets that are ignored, spills.
  public var complaints: [String] = []

  static func read(_ log: String) -> [AssembledKernel] {
    var kernels: [AssembledKernel] = []
    for line in log.split(separator: "\n") {
      if let name = line.split(separator: "'").dropFirst().first, line.contains("Compiling entry function") {
        kernels.append(AssembledKernel(name: String(name)))
      }
      guard !kernels.isEmpty else { continue }
      let last = kernels.count - 1
      for part in line.split(whereSeparator: { $0 == "," || $0 == ":" }) {
        let words = part.split(separator: " ")
        guard let number = words.lazy.compactMap({ Int($0) }).first else { continue }
        if part.contains("spill") { kernels[last].spillBytes += number }
        if words.last == "registers" { kernels[last].registers = number }
        if words.last == "barriers" { kernels[last].barriers = number }
        if words.last == "smem" { kernels[last].sharedBytes = number }
      }
    }
    let complaints = CompilerLog(text: log).complaints
    if !kernels.isEmpty { kernels[0].complaints = complaints }
    return kernels
  }
}
