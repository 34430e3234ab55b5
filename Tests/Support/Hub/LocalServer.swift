// An HTTP/1.1 server in this process, for tests of clients: it can also do what no proper server does, such as to drop a
// connection in the middle of a body.
//
// Invariant: nothing of it is left when the object is gone: the port is closed and every connection with it.

import Core
import Dispatch
import Synchronization

/// The head of a request (bodies are not read).
package struct LocalRequest: Sendable {
  /// As in `GET /path?query`.
  package let method: String
  package let target: String
  /// Names in lower case.
  package let headers: [String: String]
  /// How many requests this server got before.
  package let index: Int

  /// The bounds of a `Range: bytes=first-last`, the last one included.
  package var range: ClosedRange<Int>? {
    guard let text = headers["range"], text.hasPrefix("bytes=") else { return nil }
    let bounds = text.dropFirst(6).split(separator: "-").compactMap { Int($0) }
    return bounds.count == 2 && bounds[0] <= bounds[1] ? bounds[0]...bounds[1] : nil
  }
}

/// What is sent back.
package struct LocalResponse: Sendable {
  package var status: Int
  package var headers: [(name: String, value: String)]
  package var body: ArraySlice<UInt8>
  /// What is said of the body's length, if not the truth.
  package var statedLength: Int?
  /// The number of bytes of the body after which the connection is dropped.
  package var dropsAfter: Int?
  /// Microseconds between pieces of 16 KiB.
  package var pause: UInt32 = 0

  package init(_ status: Int, headers: [(name: String, value: String)] = [], body: ArraySlice<UInt8> = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

package final class LocalServer: Sendable {
  package typealias Handler = @Sendable (LocalRequest) -> LocalResponse

  /// What connections share; it outlives the server until the last of them has ended.
  private final class Shared: Sendable {
    let handler: Handler
    let requests = Mutex<[LocalRequest]>([])
    let connections = Mutex<(open: Set<Int32>, isStopped: Bool)>(([], false))

    init(handler: @escaping Handler) { self.handler = handler }
  }

  package let port: Int
  private let descriptor: Int32
  private let shared: Shared

  /// Everything that was asked so far.
  package var requests: [LocalRequest] { shared.requests.withLock { $0 } }

  /// Starts a server at a free port of this machine.
  package init(_ handler: @escaping Handler) {
    let shared = Shared(handler: handler)
    #if canImport(Glibc)
      let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
      let listener = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    precondition(listener >= 0, "LocalServer: socket failed with \(errno)")
    _ = fcntl(listener, F_SETFD, FD_CLOEXEC)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(listener, address, length) == 0 && listen(listener, 64) == 0
          && getsockname(listener, address, &length) == 0
      }
    }
    precondition(code, "LocalServer: no port could be opened, error \(errno)")
    port = Int(UInt16(bigEndian: address.sin_port))
    descriptor = listener
    self.shared = shared
    DispatchQueue(label: "server").async {
      while true {
        let connection = accept(listener, nil, nil)
        if connection < 0 {
          if errno == EINTR || errno == ECONNABORTED { continue }
          // The server was stopped.
          close(listener)
          return
        }
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        let isStopped = shared.connections.withLock { state in
          if !state.isStopped { state.open.insert(connection) }
          return state.isStopped
        }
        if isStopped {
          close(connection)
          continue
        }
        DispatchQueue(label: "connection").async {
          Self.serve(connection, shared)
          shared.connections.withLock { _ = $0.open.remove(connection) }
          close(connection)
        }
      }
    }
  }

  deinit {
    shared.connections.withLock { state in
      state.isStopped = true
      for connection in state.open { shutdown(connection, Int32(SHUT_RDWR)) }
    }
    // Ends the wait for connections, and with it the descriptor.
    shutdown(descriptor, Int32(SHUT_RDWR))
  }

  private static func serve(_ connection: Int32, _ shared: Shared) {
    var received: [UInt8] = []
    let end = Array("\r\n\r\n".utf8)
    while true {
      var buffer = [UInt8](repeating: 0, count: 4096)
      while !received.contains(end) {
        let count = recv(connection, &buffer, buffer.count, 0)
        guard count > 0 else { return }
        received += buffer[..<count]
      }
      let headEnd = received.firstRange(of: end)!
      let lines = String(decoding: received[..<headEnd.lowerBound], as: UTF8.self).split(separator: "\r\n")
      received.removeSubrange(..<headEnd.upperBound)
      let words = lines[0].split(separator: " ")
      var headers: [String: String] = [:]
      for line in lines.dropFirst() {
        let parts = line.split(separator: ":", maxSplits: 1)
        headers[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
      }
      let request = shared.requests.withLock { requests in
        let request = LocalRequest(
          method: String(words[0]), target: String(words[1]), headers: headers, index: requests.count)
        requests.append(request)
        return request
      }
      guard deliver(shared.handler(request), over: connection) else { return }
    }
  }

  /// False if the connection is not to be used any further.
  private static func deliver(_ response: LocalResponse, over connection: Int32) -> Bool {
    var head =
      "HTTP/1.1 \(response.status) Status\r\nContent-Length: \(response.statedLength ?? response.body.count)\r\n"
    for header in response.headers { head += "\(header.name): \(header.value)\r\n" }
    guard sendAll(Array((head + "\r\n").utf8)[...], over: connection) else { return false }
    var body = response.body.prefix(response.dropsAfter ?? .max)
    while !body.isEmpty {
      guard sendAll(body.prefix(16 << 10), over: connection) else { return false }
      body = body.dropFirst(16 << 10)
      if response.pause > 0 { usleep(response.pause) }
    }
    return response.dropsAfter == nil && (response.statedLength ?? response.body.count) == response.body.count
  }

  private static func sendAll(_ bytes: ArraySlice<UInt8>, over connection: Int32) -> Bool {
    #if canImport(Darwin)
      let flags: Int32 = 0
    #else
      let flags = Int32(MSG_NOSIGNAL)
    #endif
    return bytes.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let count = send(connection, bytes.baseAddress! + done, bytes.count - done, flags)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        done += count
      }
      return true
    }
  }
}
