import ArgumentParser
import Core

/// The C library's exit, which `Failure.exit` hides.
private func terminate(_ code: Int32) -> Never { exit(code) }

/// How a command ends that cannot do what it was asked: one message with the remedy on standard error, exit code 2.
enum Failure {
  static func exit<Command: ParsableCommand>(_ error: any Error, as command: Command.Type) -> Never {
    let code = command.exitCode(for: error)
    // Help and version are asked for, not failures.
    if code == .success || error is CleanExit { command.exit(withError: error) }
    if let coded = error as? any CodedError {
      writeError("error: \(coded.description)\n")
    } else if code == .validationFailure || "\(type(of: error))" == "CommandError" {
      // What the argument parser has to say, with the usage.
      writeError(command.fullMessage(for: error) + "\n")
    } else {
      writeError("error: \(error)\n")
    }
    terminate(2)
  }

  static func writeError(_ text: String) { writeAll(text, to: STDERR_FILENO) }
}

/// Standard output, unbuffered: text appears as it is written.
func writeOutput(_ text: String) { writeAll(text, to: STDOUT_FILENO) }

private func writeAll(_ text: String, to descriptor: Int32) {
  var bytes = Array(text.utf8)[...]
  while !bytes.isEmpty {
    let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    // A reader that went away (`| head`) has seen enough.
    if written <= 0 { return }
    bytes = bytes.dropFirst(written)
  }
}
