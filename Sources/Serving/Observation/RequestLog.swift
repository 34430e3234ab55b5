// Logs of requests: all of them as JSON, one a line, and the slow ones in words that say where the time went.

public import Core

/// Writes a line of JSON for each request and each event of the watchdog.
public final class RequestLog: EventSink {
  private let file: RecordFile

  /// Appends to a file, which is made if it is missing.
  public init(path: String) throws(FileError) { file = try RecordFile(path: path) }

  /// Opens the file anew, after it was moved away.
  public func reopen() throws(FileError) { try file.reopen() }

  public func receive(_ event: ServiceEvent) { file.append(Array(Self.json(event).json.utf8) + [UInt8(ascii: "\n")]) }

  public var failure: (any Error)? { file.failure }

  private static func json(_ event: ServiceEvent) -> JSONValue {
    switch event {
    case .answered(let record): record.json
    case .bottleneckBegan(let bottleneck):
      ["event": "bottleneck", "kind": .string(bottleneck.kind.rawValue), "message": .string(bottleneck.message)]
    case .bottleneckEnded(let kind, let seconds):
      [
        "event": "bottleneck_over", "kind": .string(kind.rawValue),
        "seconds": .number(JSONNumber((seconds * 10).rounded() / 10)),
      ]
    }
  }
}

/// Says in words what holds requests up: those that take long, and what the watchdog found.
public struct SlowLog: EventSink {
  /// Seconds from which a request is slow; nil: none is.
  private let threshold: Double?
  private let write: @Sendable (String) -> Void

  /// - Parameter write: takes a line, with its end.
  public init(threshold: Double?, write: @escaping @Sendable (String) -> Void) {
    (self.threshold, self.write) = (threshold, write)
  }

  public func receive(_ event: ServiceEvent) {
    switch event {
    case .answered(let record):
      if let threshold, record.seconds >= threshold { write(Self.line(record) + "\n") }
    case .bottleneckBegan(let bottleneck): write("\(bottleneck.message)\n")
    case .bottleneckEnded(let kind, let seconds):
      write("Over after \(Numerals.duration(seconds)): \(kind.title).\n")
    }
  }

  /// "slow: POST /v1/completions 3f0a… took 12 s: queue 9.1 s (76 %), prefill 1.2 s, …; 812 tokens read (0 cached), 64 written".
  static func line(_ record: RequestRecord) -> String {
    let phases = record.phases
    let longest = phases.max { $0.end - $0.begin < $1.end - $1.begin }?.phase
    let parts = phases.map { part in
      let seconds = part.end - part.begin
      let share =
        part.phase == longest && record.seconds > 0
        ? " (\(Int((100 * seconds / record.seconds).rounded())) %)" : ""
      return "\(part.phase.rawValue) \(Numerals.duration(seconds))\(share)"
    }
    var line = "Slow: \(record.method) \(record.path) \(record.id) took \(Numerals.duration(record.seconds)): "
    line += parts.joined(separator: ", ")
    if !record.texts.isEmpty {
      line += "; \(record.promptTokens) tokens read (\(record.cachedTokens) cached), \(record.writtenTokens) written"
    }
    return line + (record.isAborted ? "; whoever asked went away" : "")
  }
}
