// What a server tells those who watch it. Sinks make of it a log, a trace, a metric, a notice in the terminal.

/// Something that happened to a server.
public enum ServiceEvent: Sendable {
  /// A request was answered, or whoever asked went away.
  case answered(RequestRecord)
  /// Something began to hold requests up.
  case bottleneckBegan(Bottleneck)
  /// It has passed, after so many seconds.
  case bottleneckEnded(Bottleneck.Kind, seconds: Double)
}
