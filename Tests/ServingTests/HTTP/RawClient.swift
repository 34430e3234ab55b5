// A client that sends any bytes, to see what a server does with them.

import Core

/// A blocking connection to this machine.
final class RawClient {
  private let descriptor: Int32
  private var rest: [UInt8] = []

  /// - Parameter seconds: after which nothing more is waited for.
  init?(port: Int, seconds: Int = 20) {
    #if canImport(Glibc)
      descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
      descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    var one: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if result != 0 { return nil }
  }

  deinit { close(descriptor) }

  /// - Returns: whether all of it went out.
  @discardableResult
  func send(_ bytes: some Collection<UInt8>) -> Bool {
    var left = Array(bytes)[...]
    while !left.isEmpty {
      let count = left.withUnsafeBytes { write($0.baseAddress!, $0.count) }
      if count <= 0 { return false }
      left = left.dropFirst(count)
    }
    return true
  }

  @discardableResult
  func send(_ text: String) -> Bool { send(text.utf8) }

  private func write(_ pointer: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Darwin)
      Darwin.send(descriptor, pointer, count, 0)
    #else
      // Whether the server has gone is asked, not signalled.
      sendto(descriptor, pointer, count, Int32(MSG_NOSIGNAL), nil, 0)
    #endif
  }

  /// Whether something comes in time, if only the end.
  func hasMore(within milliseconds: Int32) -> Bool {
    if !rest.isEmpty { return true }
    var question = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&question, 1, milliseconds) > 0
  }

  /// Sends nothing more.
  func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// - Returns: whether more came.
  private func fill() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
    if count <= 0 { return false }
    rest += buffer[..<count]
    return true
  }

  struct Reply {
    var status: Int
    var head: String
    var body: String
  }

  /// The next reply; nil: the connection has ended without one.
  func reply(hasBody: Bool = true) -> Reply? {
    while true {
      if let end = Self.find("\r\n\r\n", in: rest) {
        let head = String(decoding: rest[..<end], as: UTF8.self)
        rest.removeFirst(end + 4)
        let status = Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0
        if status == 100 { continue }
        let lower = head.lowercased()
        var body = ""
        if !hasBody || status == 204 {
        } else if let mark = lower.range(of: "content-length: ") {
          let length = Int(lower[mark.upperBound...].prefix { $0.isNumber })!
          while rest.count < length { if !fill() { return nil } }
          body = String(decoding: rest[..<length], as: UTF8.self)
          rest.removeFirst(length)
        } else if lower.contains("transfer-encoding: chunked") {
          while Self.find("0\r\n\r\n", in: rest) == nil { if !fill() { return nil } }
          body = String(decoding: rest, as: UTF8.self)
          rest = []
        } else {
          while fill() {}
          body = String(decoding: rest, as: UTF8.self)
          rest = []
        }
        return Reply(status: status, head: head, body: body)
      }
      if !fill() { return nil }
    }
  }

  /// Whether the server closes the connection without saying more.
  func isClosed() -> Bool { rest.isEmpty && !fill() }

  private static func find(_ text: String, in bytes: [UInt8]) -> Int? {
    let wanted = Array(text.utf8)
    guard bytes.count >= wanted.count else { return nil }
    return (0...(bytes.count - wanted.count)).first { bytes[$0..<($0 + wanted.count)].elementsEqual(wanted) }
  }
}

extension String {
  /// Where a text stands first.
  fileprivate func range(of text: String) -> Range<String.Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}
