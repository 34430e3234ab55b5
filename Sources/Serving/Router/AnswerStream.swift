// A streamed answer on its way through a router, which remembers its tokens so that another worker can go on with it.
//
// A worker tells the numbers of tokens with the last of the chunks that a token makes. Chunks are held until then: what has been
// passed on is whole tokens, and their numbers are known. What another worker sends gets the first one's `id` and `created`.
//
// Invariant: what is passed on, of however many workers, is the chunks of one answer, each once, without what the client did not ask
// for.

internal import NIOCore

/// Passes the chunks of an answer on.
struct AnswerStream {
  /// Of all that has been passed on.
  private(set) var tokens: [Int32] = []
  /// The client has the reason why the answer ended.
  private(set) var isFinished = false
  /// The client has all of it.
  private(set) var isDone = false
  private let wantsTokens: Bool
  private var id: [UInt8]?
  private var created: [UInt8]?
  private var held = ByteBuffer()

  /// - Parameter wantsTokens: the client asked for the numbers of tokens itself.
  init(wantsTokens: Bool) { self.wantsTokens = wantsTokens }

  /// Another worker goes on.
  mutating func resume() { held.clear() }

  enum Passed {
    /// What the client gets now.
    case bytes(ByteBuffer)
    case nothing
    /// The worker says that it cannot go on.
    case failure
  }

  mutating func take(_ event: ByteBuffer) -> Passed {
    guard let data = event.eventData else { return passed(event) }
    if data.elementsEqual("[DONE]".utf8) {
      isDone = true
      return passed(event)
    }
    let offset = data.startIndex - event.readerIndex
    return event.withUnsafeReadableBytes { bytes in
      read(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + data.count)]), event)
    }
  }

  private mutating func passed(_ event: ByteBuffer) -> Passed {
    var event = event
    if held.readableBytes > 0 {
      held.writeBuffer(&event)
      (event, held) = (held, ByteBuffer())
    }
    return event.readableBytes > 0 ? .bytes(event) : .nothing
  }

  private mutating func read(_ bytes: UnsafeRawBufferPointer, _ event: ByteBuffer) -> Passed {
    let json = RawJSON(bytes)
    guard let members = json.members() else { return passed(event) }
    var edits: [(range: Range<Int>, new: [UInt8])] = []
    var (isHeld, isEmpty, isSilent) = (false, false, false)
    for member in members {
      let (key, value) = (member.key, member.value)
      if json.is(key, "error") { return .failure }
      if json.is(key, "id") {
        keep(&id, bytes, value, &edits)
      } else if json.is(key, "created") {
        keep(&created, bytes, value, &edits)
      } else if json.is(key, "prompt_token_ids") {
        isHeld = true
        if !wantsTokens { edits.append((whole(member, bytes), [])) }
      } else if json.is(key, "choices") {
        guard let choice = json.elements(at: value.lowerBound)?.first else {
          isEmpty = true
          continue
        }
        // The reason has been told by the worker before.
        if isFinished { return .nothing }
        for member in json.members(at: choice.lowerBound) ?? [] {
          if json.is(member.key, "token_ids") {
            let told = json.integers(member.value) ?? []
            tokens += told
            isHeld = told.isEmpty
            if !wantsTokens { edits.append((whole(member, bytes), [])) }
          } else if json.is(member.key, "prompt_token_ids") {
            if !wantsTokens { edits.append((whole(member, bytes), [])) }
          } else if json.is(member.key, "finish_reason"), !json.is(member.value, "null") {
            isFinished = true
          }
        }
        isSilent = !isFinished && !wantsTokens && saysNothing(json, choice.lowerBound)
      }
    }
    // Of tokens of which nothing is to be seen a client that has not asked for them gets no chunk.
    let new = isSilent ? ByteBuffer() : edits.isEmpty ? event : edited(bytes, edits)
    if isHeld && !isFinished && !isEmpty {
      var new = new
      held.writeBuffer(&new)
      return .nothing
    }
    return passed(new)
  }

  /// Whether a choice has neither text nor anything else that is new.
  private func saysNothing(_ json: RawJSON, _ choice: Int) -> Bool {
    guard let members = json.members(at: choice) else { return false }
    return members.allSatisfy { member in
      if json.is(member.key, "text") { return json.is(member.value, "\"\"") }
      if json.is(member.key, "delta") { return json.is(member.value, "{\"content\":\"\"}") }
      return !json.is(member.key, "logprobs") || json.is(member.value, "null")
    }
  }

  /// Keeps a value the first time, and puts it in place of others later.
  private func keep(
    _ kept: inout [UInt8]?, _ bytes: UnsafeRawBufferPointer, _ value: Range<Int>,
    _ edits: inout [(range: Range<Int>, new: [UInt8])]
  ) {
    guard let first = kept else {
      kept = Array(bytes[value])
      return
    }
    if !bytes[value].elementsEqual(first) { edits.append((value, first)) }
  }

  /// A member with the comma in front of it or, of the first, behind it.
  private func whole(_ member: RawJSON.Member, _ bytes: UnsafeRawBufferPointer) -> Range<Int> {
    var start = member.key.lowerBound - 1
    while start > 0, bytes[start - 1] == 0x20 { start -= 1 }
    if start > 0, bytes[start - 1] == UInt8(ascii: ",") { return (start - 1)..<member.value.upperBound }
    var end = member.value.upperBound
    while end < bytes.count, bytes[end] == 0x20 { end += 1 }
    return start..<(end < bytes.count && bytes[end] == UInt8(ascii: ",") ? end + 1 : end)
  }

  private func edited(_ bytes: UnsafeRawBufferPointer, _ edits: [(range: Range<Int>, new: [UInt8])]) -> ByteBuffer {
    var result = ByteBuffer()
    result.reserveCapacity(bytes.count + 64)
    result.writeStaticString("data: ")
    var place = 0
    for (range, new) in edits.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
      result.writeBytes(bytes[place..<range.lowerBound])
      result.writeBytes(new)
      place = range.upperBound
    }
    result.writeBytes(bytes[place...])
    result.writeStaticString("\n\n")
    return result
  }
}
