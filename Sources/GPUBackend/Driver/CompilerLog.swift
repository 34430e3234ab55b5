// What the driver's assembler says of a module, and which of it we do not accept.
//
// Slow code is an error here, because nothing else would ever tell: matrix instructions that wait for each other (notes C7510,
// C7511, C7515 and their like), register budgets that are ignored (C7504 to C7508), fences and waits that the assembler had to
// add (C7517, C7519), and registers that are kept in memory.

/// The text of the assembler's log.
package struct CompilerLog {
  package let text: String

  package init(text: String) { self.text = text }

  private var lines: [Substring] { text.split(separator: "\n") }

  /// Whether the assembler has run. Where the driver had the code in a cache of its own, the log has only sizes, no notes.
  package var isOfCompilation: Bool { text.contains("Compiling entry function") }

  /// Lines that tell of slow code, each with the kernel that it is about where the line does not say it.
  package var complaints: [String] {
    var complaints: [String] = []
    var kernel: String?
    for line in lines {
      if let name = Self.text(of: line, behind: "Function properties for ") {
        kernel = name.filter { $0 != "'" && $0 != ":" }
      }
      let line = Self.trimmed(line)
      if Self.hasNote(line) {
        complaints.append(line)
      } else if line.contains("bytes spill"), Self.hasSpills(line) {
        complaints.append(kernel.map { "\(line) (in '\($0)')" } ?? line)
      }
    }
    return complaints
  }

  private static func text(of line: Substring, behind mark: String) -> String? {
    line.firstRange(of: mark).map { String(line[$0.upperBound...]) }
  }

  private static func trimmed(_ line: Substring) -> String {
    String(line.drop(while: \.isWhitespace))
  }

  /// `(C75dd)`: what the assembler notes about matrix instructions and register budgets.
  private static func hasNote(_ line: String) -> Bool {
    guard let mark = line.firstRange(of: "(C75") else { return false }
    let rest = line[mark.upperBound...].prefix(3)
    return rest.count == 3 && rest.last == ")" && rest.dropLast().allSatisfy(\.isNumber)
  }

  /// `0 bytes stack frame, 16 bytes spill stores, 16 bytes spill loads`
  private static func hasSpills(_ line: String) -> Bool {
    line.split(separator: ",").contains { part in
      let words = part.split(separator: " ")
      guard let spill = words.firstIndex(of: "spill"), spill >= 2 else { return false }
      return Int(words[spill - 2]).map { $0 > 0 } ?? false
    }
  }
}
