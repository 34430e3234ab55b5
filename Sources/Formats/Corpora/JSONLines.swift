// JSONL: one JSON object a line, the text under a name. Blank lines are skipped.

enum JSONLines {
  /// Ranges of whole lines that cover `text`, each of about `size` bytes.
  static func chunks(of text: UnsafeBufferPointer<UInt8>, size: Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    while start < text.count {
      var end = min(start + size, text.count)
      while end < text.count, text[end - 1] != 0x0A { end += 1 }
      ranges.append(start..<end)
      start = end
    }
    return ranges
  }

  /// Calls `body` with the text of each line; `offset` is the place of `text` in its file, for messages.
  static func forEachText(
    in text: UnsafeBufferPointer<UInt8>, field: String, path: String, offset: Int,
    _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws(FormatsError) {
    var start = 0
    var buffer: [UInt8] = []
    while start < text.count {
      let end = text[start...].firstIndex(of: 0x0A) ?? text.count
      let line = UnsafeBufferPointer(rebasing: text[start..<end])
      defer { start = end + 1 }
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) { continue }
      var reader = JSONReader(line)
      var isFound = false
      do throws(FormatsError) {
        try reader.object { (reader, name) throws(FormatsError) in
          guard name == field, !isFound else { return try reader.skip() }
          isFound = true
          if let range = try reader.stringBytes(into: &buffer) {
            body(UnsafeBufferPointer(rebasing: line[range]))
          } else {
            buffer.withUnsafeBufferPointer { body($0) }
          }
        }
        try reader.end()
      } catch {
        throw FormatsError(
          .malformed,
          "'\(path)': the line at byte \(offset + start) is not a JSON object with a text. \(error.message)",
          cause: error)
      }
      guard isFound else {
        throw FormatsError(
          .malformed,
          "'\(path)': the line at byte \(offset + start) has no \"\(field)\"; name the field that holds the text.")
      }
    }
  }
}
