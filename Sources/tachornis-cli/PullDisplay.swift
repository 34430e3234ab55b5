import Core
import Formats

// What a person sees of a download, as text.
//
// Invariant: a pure value. Time and width are passed in, nothing is printed here; names and reasons from outside are
// stripped of control characters.

struct PullDisplay {
  private struct File {
    var bytes: Int
    var done: Int
    var checked: Int?
    var isFinished = false
    var touched = 0.0
  }

  private static let mostFiles = 6

  private var files: [String: File] = [:]
  private var order: [String] = []
  private var fileCount = 0
  private var finishedCount = 0
  private var total = 0
  /// Bytes that are in place, and those of them that this process fetched.
  private var done = 0
  private var fetched = 0
  private var startSeconds: Double?
  /// Bytes fetched at moments of the last seconds, for the speed.
  private var samples: [(seconds: Double, bytes: Int)] = []

  /// Takes an event; returns the lines that stay for good.
  mutating func receive(_ event: PullEvent, at seconds: Double) -> [String] {
    switch event {
    case .planned(let count, let bytes, let present):
      (fileCount, total, done) = (count, bytes, present)
      startSeconds = seconds
      samples = [(seconds, 0)]
      let there = present > 0 ? ", of which \(Numerals.bytes(present)) are there already" : ""
      return ["\(count) file\(count == 1 ? "" : "s"), \(Numerals.bytes(bytes))\(there)"]
    case .queued(let path, let bytes, let done):
      if files.updateValue(File(bytes: bytes, done: done), forKey: path) == nil { order.append(path) }
    case .advanced(let path, let bytes):
      files[path]?.done += bytes
      files[path]?.touched = seconds
      done += bytes
      fetched += bytes
    case .checking(let path):
      files[path]?.checked = 0
      files[path]?.touched = seconds
    case .checked(let path, let bytes):
      files[path]?.checked? += bytes
      files[path]?.touched = seconds
    case .finished(let path):
      files[path]?.isFinished = true
      finishedCount += 1
      return ["\(Self.clean(path))  \(Numerals.bytes(files[path]?.bytes ?? 0))  checked"]
    case .restarted(let path, let reason):
      done -= files[path]?.done ?? 0
      files[path]?.done = 0
      files[path]?.checked = nil
      return ["\(Self.clean(path)) begins anew: \(Self.clean(reason))"]
    case .waiting(let path, let reason, let delay):
      let name = path.isEmpty ? "" : "\(Self.clean(path)): "
      return ["\(name)\(Self.clean(reason)); again in \(Numerals.duration(delay))"]
    }
    return []
  }

  /// The lines that are redrawn in place, each at most `width` columns wide: the files at work and the sum.
  mutating func live(width: Int, at seconds: Double) -> [String] {
    sample(seconds)
    let active = order.filter { path in
      guard let file = files[path], !file.isFinished else { return false }
      return file.touched > 0
    }
    let shown = active.sorted { files[$0]!.touched > files[$1]!.touched }.prefix(Self.mostFiles).sorted()
    var lines = shown.map { line(of: $0, width: width) }
    if startSeconds != nil { lines.append(Self.fit(summary(seconds), width)) }
    return lines
  }

  /// One line about the present, for output that is not a terminal.
  mutating func plainLine(at seconds: Double) -> String {
    sample(seconds)
    return startSeconds == nil ? "waiting for the list of files" : summary(seconds)
  }

  private func line(of path: String, width: Int) -> String {
    let file = files[path]!
    let fraction = Double(file.checked ?? file.done) / Double(max(1, file.bytes))
    let figures =
      "  \(Self.percent(fraction))  \(Self.padded(Numerals.bytes(file.bytes), 8))"
      + (file.checked != nil ? "  checking" : "")
    let nameWidth = max(8, min(44, width - 40))
    let barWidth = max(0, min(24, width - nameWidth - 29))
    return Self.fit(Self.name(path, nameWidth) + Self.bar(fraction, width: barWidth) + figures, width)
  }

  private func summary(_ seconds: Double) -> String {
    let fraction = Double(min(done, total)) / Double(max(1, total))
    var facts = [
      "\(finishedCount)/\(fileCount) files", "\(Numerals.bytes(min(done, total))) of \(Numerals.bytes(total))",
      Self.percent(done >= total ? 1 : min(fraction, 0.99)).drop { $0 == " " }.description,
    ]
    if let speed {
      facts.append("\(Numerals.bytes(Int(speed)))/s")
      if done < total, speed > 0 { facts.append("\(Numerals.duration(Double(total - done) / speed)) left") }
    }
    return facts.joined(separator: "  ")
  }

  /// Bytes a second over the last ten seconds.
  private var speed: Double? {
    guard let first = samples.first, let last = samples.last, last.seconds - first.seconds > 0.5 else { return nil }
    return Double(last.bytes - first.bytes) / (last.seconds - first.seconds)
  }

  private mutating func sample(_ seconds: Double) {
    guard startSeconds != nil else { return }
    samples.append((seconds, fetched))
    samples.removeAll { $0.seconds < seconds - 10 }
  }

  // MARK: Text

  /// The name in exactly `width` columns and two more; of a long one the end, which tells parts apart.
  private static func name(_ path: String, _ width: Int) -> String {
    let text = clean(path)
    let shown = text.count <= width ? text : "…" + text.suffix(width - 1)
    return shown + String(repeating: " ", count: width - shown.count + 2)
  }

  private static func bar(_ fraction: Double, width: Int) -> String {
    let full = max(0, min(width, Int(fraction * Double(width))))
    return String(repeating: "━", count: full) + String(repeating: "─", count: width - full)
  }

  private static func percent(_ fraction: Double) -> String { padded("\(Int(min(1, fraction) * 100))%", 4) }

  private static func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private static func fit(_ text: String, _ width: Int) -> String { String(text.prefix(width)) }

  private static func clean(_ text: String) -> String {
    String(
      text.map { $0.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) } ? $0 : "·" })
  }
}
