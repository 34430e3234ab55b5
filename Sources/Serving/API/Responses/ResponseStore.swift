// Responses that were made, so that the next turn can name them.

internal import Core
internal import Synchronization

/// A response and what led to it.
struct StoredResponse: Sendable {
  var response: JSONValue
  /// The items of the request.
  var input: [JSONValue]
  /// The conversation with the answer, without instructions, which hold for one turn only.
  var messages: [JSONValue]
  /// The name of the key that it was made with; nobody else finds it.
  var owner: String?
  /// The next turn can name it.
  var isFinished = true
  /// What its stream told, if it was made in the background; nil: nobody asked for a stream.
  var events: ResponseEvents?

  var isBackground: Bool { response["background"] == true }

  mutating func set(_ name: String, _ value: JSONValue) {
    guard case .object(var object) = response else { return }
    object[name] = value
    response = .object(object)
  }

  /// Ends without an answer.
  mutating func end(_ status: String) {
    set("status", .string(status))
    if status == "failed", response["error"] == .null {
      set("error", ["code": "server_error", "message": "The response could not be made."])
    }
  }

  /// The events behind one that a client has.
  func events(after last: Int) throws(APIError) -> String {
    guard let events else {
      throw APIError(
        .badRequest, "The response was not made with 'background' and 'stream': there are no events to be told.",
        parameter: "stream", code: "invalid_value")
    }
    return try events.after(last)
  }
}

/// Keeps the newest responses in memory.
final class ResponseStore: Sendable {
  private struct State {
    var entries: [String: (stored: StoredResponse, bytes: Int)] = [:]
    /// The ids, the oldest first.
    var order: [String] = []
    var bytes = 0

    mutating func forget(_ id: String) {
      guard let entry = entries.removeValue(forKey: id) else { return }
      bytes -= entry.bytes
      order.removeAll { $0 == id }
    }
  }

  private let state = Mutex(State())
  private let mostEntries: Int
  private let mostBytes: Int

  init(mostEntries: Int = 1024, mostBytes: Int = 64 << 20) {
    (self.mostEntries, self.mostBytes) = (mostEntries, mostBytes)
  }

  subscript(id: String) -> StoredResponse? { state.withLock { $0.entries[id]?.stored } }

  func keep(_ stored: StoredResponse) {
    guard let id = stored.response["id"]?.string else { return }
    let bytes = ([stored.response] + stored.input + stored.messages).reduce(stored.events?.bytes ?? 0) {
      $0 + $1.json.utf8.count
    }
    state.withLock { state in
      state.forget(id)
      state.entries[id] = (stored, bytes)
      state.order.append(id)
      state.bytes += bytes
      while state.entries.count > mostEntries || state.bytes > mostBytes, let oldest = state.order.first {
        state.forget(oldest)
      }
    }
  }

  func forget(_ id: String) { state.withLock { $0.forget(id) } }
}
