// What an operator chooses about connections.

public import Core

/// Bounds on what clients may send and hold, and who may ask from a browser.
public struct HTTPConfiguration: Configuration, Hashable {
  /// Connections at a time; who comes after them is told so and sent away.
  public var connections = 4096
  /// Bytes of a request's line and headers.
  public var head = 32 << 10
  /// Headers of a request.
  public var headers = 100
  /// Bytes of a request's body.
  public var body = 16 << 20
  /// Seconds in which a request must arrive whole, from its first byte.
  public var arrival = 60
  /// Seconds without a request after which a connection is closed, and without progress of a client that does not read.
  public var idle = 75
  /// Bytes of a stream that wait for a client to read; more end it.
  public var unread = 4 << 20
  /// The origin whose pages may ask from a browser, as https://chat.example, or * for all; nil: none.
  public var corsOrigin: String?

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check((1...1 << 20).contains(connections), "connections", connections, "must be from 1 to \(1 << 20)")
    check((256...1 << 20).contains(head), "head", head, "must be from 256 to \(1 << 20)")
    check((1...10_000).contains(headers), "headers", headers, "must be from 1 to 10000")
    check((1...1 << 32).contains(body), "body", body, "must be from 1 to \(1 << 32)")
    check((1...86400).contains(arrival), "arrival", arrival, "must be from 1 to 86400 seconds")
    check((1...86400).contains(idle), "idle", idle, "must be from 1 to 86400 seconds")
    check((1024...1 << 32).contains(unread), "unread", unread, "must be from 1024 to \(1 << 32)")
    check(
      corsOrigin.map { !$0.isEmpty && $0.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } } ?? true, "corsOrigin",
      corsOrigin ?? "", "must be an origin, as https://chat.example, or *")
  }
}
