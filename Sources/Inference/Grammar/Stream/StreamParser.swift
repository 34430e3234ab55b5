// What a model writes as events, while it writes: content, reasoning, calls of tools with their arguments.
//
// Invariants: the events of a text do not depend on how it was cut into pieces, but for how long the pieces of one kind are. Text is held
// back only while it can still become a marker. Nothing that is not a marker is lost: what only begins like one is given out.

import Core

/// What happened in the text.
package enum StreamEvent: Sendable, Equatable {
  case content(String)
  case reasoning(String)
  /// A call began; calls are counted from 0.
  case call(index: Int, name: String)
  /// More of a call's arguments, as they were written.
  case arguments(index: Int, String)
  case done
}

/// Parses one text of one model.
package struct StreamParser: Sendable {
  private let family: StreamFamily
  private var mode: Int
  private var pending: [UInt8] = []
  /// The header or name that is being read.
  private var heading: [UInt8] = []
  private var calls = 0
  private var object = CallObject()
  private var arguments = JSONScan()
  /// Whether nothing but white space was written yet.
  private var isFirst = true
  /// Whether text was found where only JSON is expected.
  private var isOutOfPlace = false

  package init(_ family: StreamFamily) {
    self.family = family
    mode = family.start
  }

  /// More of the text.
  package mutating func push(_ text: String) -> [StreamEvent] {
    pending += text.utf8
    return read(isLast: false)
  }

  /// The end of the text.
  package mutating func finish() -> [StreamEvent] {
    var events = read(isLast: true)
    leave(into: &events)
    // A heading without an end is text after all.
    if kind == .header || kind == .name, !heading.allSatisfy({ JSONScan.isSpace($0) }) {
      emit(.content(String(decoding: heading, as: UTF8.self)), into: &events)
    }
    return events + [.done]
  }

  private mutating func read(isLast: Bool) -> [StreamEvent] {
    var events: [StreamEvent] = []
    var rest = pending[...]
    while !rest.isEmpty {
      if isInsideValue {
        let count = take(rest, into: &events)
        rest = rest.dropFirst(count)
        continue
      }
      let limit = isWaitingForValue ? rest.firstIndex { Self.opens($0) } ?? rest.endIndex : rest.endIndex
      let found = marker(in: rest, before: limit, isLast: isLast)
      switch found {
      case .whole(let marker, let at):
        give(rest[..<at], into: &events)
        leave(into: &events)
        rest = marker.isKept ? rest[at...] : rest[(at + marker.text.count)...]
        enter(marker.mode, into: &events)
      case .partial(let at):
        give(rest[..<at], into: &events)
        pending = Array(rest[at...])
        return events
      case .none:
        give(rest[..<limit], into: &events)
        rest = rest[limit...]
        if !rest.isEmpty { begin() }
      }
    }
    pending = []
    return events
  }

  // MARK: Markers

  private enum Found {
    case whole(StreamFamily.Marker, at: Int)
    /// The beginning of one at the end of the text.
    case partial(at: Int)
    case none
  }

  /// The first marker of the present mode, or what may become one.
  private func marker(in text: ArraySlice<UInt8>, before limit: Int, isLast: Bool) -> Found {
    let markers = family.modes[mode].markers
    guard !markers.isEmpty else { return .none }
    for at in text.startIndex..<max(limit, text.startIndex) {
      for marker in markers where marker.text[0] == text[at] && canStand(marker, at, in: text) {
        let part = text[at...].prefix(marker.text.count)
        guard marker.text.starts(with: part) else { continue }
        if part.count == marker.text.count { return .whole(marker, at: at) }
        if !isLast { return .partial(at: at) }
      }
    }
    return .none
  }

  /// Some markers stand at the very beginning of the answer only.
  private func canStand(_ marker: StreamFamily.Marker, _ at: Int, in text: ArraySlice<UInt8>) -> Bool {
    !marker.isFirst || isFirst && text[..<at].allSatisfy { JSONScan.isSpace($0) }
  }

  // MARK: Modes

  /// Whether what comes next is reasoning.
  package var isReasoning: Bool { kind == .reasoning }

  private var kind: StreamFamily.Kind { family.modes[mode].kind }
  private var isInsideValue: Bool {
    kind == .calls && object.isOpen || kind == .arguments && arguments.isOpen
  }
  /// Whether a JSON value may begin here.
  private var isWaitingForValue: Bool { kind == .calls || kind == .arguments && !arguments.isOver }

  private static func opens(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "{") }

  private mutating func begin() {
    isOutOfPlace = false
    if kind == .calls { object = CallObject(isOpen: true) } else { arguments = JSONScan(isOpen: true) }
  }

  /// Reads of a JSON value as much as there is of it; how many bytes those are.
  private mutating func take(_ text: ArraySlice<UInt8>, into events: inout [StreamEvent]) -> Int {
    if kind == .arguments {
      let count = arguments.take(text)
      emit(.arguments(index: calls - 1, String(decoding: text.prefix(count), as: UTF8.self)), into: &events)
      return count
    }
    let count = object.take(text)
    if let name = object.newName {
      object.newName = nil
      calls += 1
      events.append(.call(index: calls - 1, name: name))
    }
    if object.hasName, !object.newArguments.isEmpty {
      emit(.arguments(index: calls - 1, String(decoding: object.newArguments, as: UTF8.self)), into: &events)
      object.newArguments = []
    }
    // An object without a name was no call.
    if !object.isOpen, !object.hasName {
      emit(.content(String(decoding: object.text, as: UTF8.self)), into: &events)
    }
    return count
  }

  /// Text that is neither a marker nor inside of a JSON value.
  private mutating func give(_ text: ArraySlice<UInt8>, into events: inout [StreamEvent]) {
    if text.isEmpty { return }
    if !text.allSatisfy({ JSONScan.isSpace($0) }) { isFirst = false }
    let string = String(decoding: text, as: UTF8.self)
    switch kind {
    case .content: emit(.content(string), into: &events)
    case .reasoning: emit(.reasoning(string), into: &events)
    case .header, .name: heading += text
    case .nothing: break
    case .calls, .arguments:
      // Only what separates values may stand between them; from anything else on it is text.
      let other = isOutOfPlace ? text : text.drop { JSONScan.isSpace($0) || ",;[]".utf8.contains($0) }
      if other.isEmpty { return }
      isOutOfPlace = true
      emit(.content(String(decoding: other, as: UTF8.self)), into: &events)
    }
  }

  private mutating func enter(_ next: Int, into events: inout [StreamEvent]) {
    let previous = kind
    mode = next
    isFirst = false
    isOutOfPlace = false
    arguments = JSONScan()
    object = CallObject()
    if previous == .header, kind == .content {
      beginMessage(into: &events)
    } else if previous == .name, kind == .arguments {
      beginCall(named: heading, into: &events)
    }
    heading = []
  }

  /// Ends what was being read in a mode.
  private mutating func leave(into events: inout [StreamEvent]) {
    if kind == .calls, object.isOpen, !object.hasName, !object.text.isEmpty {
      emit(.content(String(decoding: object.text, as: UTF8.self)), into: &events)
    }
  }

  private mutating func beginCall(named bytes: [UInt8], into events: inout [StreamEvent]) {
    var name = String(decoding: bytes.filter { !JSONScan.isSpace($0) }, as: UTF8.self)
    if name.hasPrefix("functions.") { name.removeFirst("functions.".count) }
    // The number of the call behind its name.
    if let colon = name.lastIndex(of: ":"), name[colon...].dropFirst().allSatisfy(\.isNumber) {
      name = String(name[..<colon])
    }
    calls += 1
    events.append(.call(index: calls - 1, name: name))
  }

  /// Chooses the mode of a message by its header.
  private mutating func beginMessage(into events: inout [StreamEvent]) {
    let header = String(decoding: heading, as: UTF8.self)
    let words = header.split { $0 == " " || $0 == "<" || $0 == ">" || $0 == "|" }
    if let recipient = words.first(where: { $0.hasPrefix("to=") }) {
      mode = family.modes.firstIndex { $0.kind == .arguments }!
      beginCall(named: Array(recipient.dropFirst(3).utf8), into: &events)
    } else if words.contains("analysis") {
      mode = family.modes.firstIndex { $0.kind == .reasoning }!
    }
  }

  /// Appends an event, or its text to the event before it.
  private func emit(_ event: StreamEvent, into events: inout [StreamEvent]) {
    switch (events.last, event) {
    case (.content(let old)?, .content(let new)): events[events.count - 1] = .content(old + new)
    case (.reasoning(let old)?, .reasoning(let new)): events[events.count - 1] = .reasoning(old + new)
    case (.arguments(let index, let old)?, .arguments(_, let new)):
      events[events.count - 1] = .arguments(index: index, old + new)
    default: events.append(event)
    }
  }
}
