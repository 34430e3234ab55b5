// The executable as a user runs it: a process with arguments, whose output and exit code are looked at.
//
// Invariant: no process outlives its test; one that takes too long is killed and fails.

import Core
import FoundationEssentials

/// How a process ended.
struct Outcome: CustomStringConvertible {
  /// nil if a signal ended it.
  var code: Int32?
  var signal: Int32?
  var output: String
  var errors: String

  var description: String { "code \(code ?? -1), signal \(signal ?? 0)\n--- output\n\(output)\n--- errors\n\(errors)" }

  /// Whether anything tells of a crash.
  var showsCrash: Bool {
    signal != nil || ["Fatal error", "Stack dump", "Crash", "Precondition", ".swift:"].contains { errors.contains($0) }
  }
}

/// A folder for one test, removed with it.
final class Workplace {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/tachornis-commands-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    try Data(bytes).write(to: URL(filePath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }

  /// Some sentences that a model can learn something from.
  func sentences() throws -> String {
    let animals = ["cat", "dog", "bird", "fox", "hare"], places = ["hill", "lake", "wood"]
    let lines = (0..<400).map { "The \(animals[$0 % 5]) went to the \(places[$0 % 3]) \($0 % 7 + 1) times.\n" }
    return try write(lines.joined().utf8, to: "sentences.txt")
  }

  /// Starts the executable with this folder as its working directory.
  func start(_ arguments: [String]) throws -> RunningTool { try RunningTool(arguments, in: path) }

  /// Runs the executable to its end.
  func run(_ arguments: [String]) throws -> Outcome { try start(arguments).wait() }
}

/// A process that was started.
final class RunningTool {
  private let process: pid_t
  private let output: String
  private let errors: String
  private var ended = false

  struct CannotStart: Error { var message: String }

  /// The executable beside the test bundle.
  static var executable: String {
    let bundle = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/tachornis"
    if FileManager.default.isExecutableFile(atPath: bundle) { return bundle }
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    return root + "/.build/release/tachornis"
  }

  /// - Parameter executable: another one than what this package makes.
  init(_ arguments: [String], in folder: String, executable: String = RunningTool.executable) throws {
    guard FileManager.default.isExecutableFile(atPath: executable) else {
      throw CannotStart(message: "there is no executable \(executable); build the package first")
    }
    let name = "\(folder)/.process-\(UUID().uuidString)"
    output = name + ".out"
    errors = name + ".err"
    #if canImport(Darwin)
      var actions: posix_spawn_file_actions_t?
      var attributes: posix_spawnattr_t?
    #else
      var actions = posix_spawn_file_actions_t()
      var attributes = posix_spawnattr_t()
    #endif
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)

    // Threads of a test block signals, and a child would inherit that.
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t(), interrupts = sigset_t()
    sigemptyset(&none)
    sigemptyset(&interrupts)
    for signal in [SIGINT, SIGTERM] { sigaddset(&interrupts, signal) }
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &interrupts)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let environment = ProcessInfo.processInfo.environment.map { "\($0)=\($1)" }
    // The shell changes the folder and becomes the executable.
    let shell = ["/bin/sh", "-c", #"cd "$0" && exec "$@""#, folder, executable]
    let words = (shell + arguments).map { strdup($0) } + [nil]
    let variables = environment.map { strdup($0) } + [nil]
    defer { (words + variables).forEach { free($0) } }
    var process = pid_t()
    let code = posix_spawn(&process, shell[0], &actions, &attributes, words, variables)
    guard code == 0 else { throw CannotStart(message: "\(executable) could not be started: error \(code)") }
    self.process = process
  }

  deinit {
    if !ended {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
  }

  func send(_ signal: Int32) { kill(process, signal) }

  /// What it has written so far.
  var printed: String { text(output) }
  /// What it has written to standard error so far.
  var complained: String { text(errors) }

  private func text(_ path: String) -> String {
    (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// Waits for a condition while the process lives; false if it ended or `seconds` passed first.
  func waits(until condition: () -> Bool, seconds: Int = 120) -> Bool {
    for _ in 0..<(seconds * 200) {
      if condition() { return true }
      var status = siginfo_t()
      // Looks without taking the exit status away.
      guard waitid(P_PID, id_t(process), &status, WEXITED | WNOHANG | WNOWAIT) == 0 else { return false }
      if status.si_signo != 0 { return condition() }
      usleep(5000)
    }
    return false
  }

  /// Waits for the end; after `seconds` the process is killed.
  func wait(seconds: Int = 120) -> Outcome {
    var status: Int32 = 0
    var result = waitpid(process, &status, WNOHANG)
    var polls = 0
    while result == 0 {
      usleep(2000)
      polls += 1
      if polls == seconds * 500 { kill(process, SIGKILL) }
      result = waitpid(process, &status, WNOHANG)
    }
    ended = true
    let signal = status & 0x7f
    return Outcome(
      code: signal == 0 ? (status >> 8) & 0xff : nil, signal: signal == 0 ? nil : signal, output: text(output),
      errors: text(errors))
  }
}
