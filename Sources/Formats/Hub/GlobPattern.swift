// Patterns of file names, as the shell's fnmatch without flags has them (POSIX.1-2017, XCU 2.13): `*` and `?` also
// match slashes, so that `*.json` takes the files of subfolders too.

/// A pattern with `*` (anything), `?` (one character) and `[a-z]`, `[!a-z]` (one of, none of).
package struct GlobPattern: Sendable {
  private let pattern: [Character]

  package init(_ text: String) { pattern = Array(text) }

  /// Whether the whole of `text` fits. Takes time in proportion to both lengths multiplied, at worst.
  package func matches(_ text: String) -> Bool {
    let text = Array(text)
    var (p, t) = (0, 0)
    // The last star and how far into the text it reaches; on a mismatch it takes one character more.
    var star: (pattern: Int, text: Int)?
    while t < text.count {
      if p < pattern.count, pattern[p] == "*" {
        star = (p, t)
        p += 1
      } else if let next = step(p, text[t]) {
        p = next
        t += 1
      } else if let last = star {
        star = (last.pattern, last.text + 1)
        (p, t) = (last.pattern + 1, last.text + 1)
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == "*" }
  }

  /// The position after the element at `p` if that matches `character`, else nil.
  private func step(_ p: Int, _ character: Character) -> Int? {
    guard p < pattern.count else { return nil }
    switch pattern[p] {
    case "?": return p + 1
    case "[":
      let isNegated = p + 1 < pattern.count && "!^".contains(pattern[p + 1])
      let first = p + (isNegated ? 2 : 1)
      // A bracket that closes at once stands for itself.
      guard first < pattern.count, let end = pattern[(first + 1)...].firstIndex(of: "]") else { fallthrough }
      return isListed(character, pattern[first..<end]) != isNegated ? end + 1 : nil
    default: return pattern[p] == character ? p + 1 : nil
    }
  }

  private func isListed(_ character: Character, _ list: ArraySlice<Character>) -> Bool {
    var i = list.startIndex
    while i < list.endIndex {
      if i + 2 < list.endIndex, list[i + 1] == "-" {
        if list[i] <= character, character <= list[i + 2] { return true }
        i += 3
      } else {
        if list[i] == character { return true }
        i += 1
      }
    }
    return false
  }
}
