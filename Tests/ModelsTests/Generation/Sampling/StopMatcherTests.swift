// Stop strings against a search in the whole text, whatever the chunks.

import Formats
import Models
import Support
import Testing

@Suite struct StopMatcherTests {
  /// The text up to the stop string that ends first, the longest of those that end there; and that string.
  private static func slowly(_ text: String, _ stops: [String], including: Bool) -> (text: String, stop: String?) {
    let bytes = Array(text.utf8)
    for end in 0...bytes.count {
      let ending = stops.filter { bytes[..<end].reversed().starts(with: $0.utf8.reversed()) }
      guard let stop = ending.max(by: { $0.utf8.count < $1.utf8.count }) else { continue }
      return (String(decoding: bytes[..<(including ? end : end - stop.utf8.count)], as: UTF8.self), stop)
    }
    return (text, nil)
  }

  @Test func chunksDoNotMatter() {
    for index in 0..<500 {
      var random = RandomCase("stop strings", index)
      let alphabet: [Character] = random.bool() ? ["a", "b"] : ["a", "é", "日", "🦙", "\n"]
      func string(_ range: ClosedRange<Int>) -> String {
        String((0..<random.integer(range)).map { _ in random.choice(alphabet) })
      }
      let stops = (0..<random.integer(0...4)).map { _ in string(1...5) }
      let text = string(0...40)
      let including = random.bool()
      let expected = Self.slowly(text, stops, including: including)
      var matcher = StopMatcher(stops, including: including)
      var found = ""
      var rest = Substring(text)
      while !rest.isEmpty {
        let piece = rest.prefix(random.integer(0...3))
        rest = rest.dropFirst(piece.count)
        found += matcher.push(String(piece))
        #expect(expected.text.utf8.starts(with: found.utf8), "nothing is taken back, \(random)")
      }
      found += matcher.finish()
      #expect(found == expected.text, "\(stops) in \(text), \(random)")
      #expect(matcher.stopped == expected.stop, "\(stops) in \(text), \(random)")
    }
  }

  @Test func holdsBackNoMoreThanItMust() {
    var matcher = StopMatcher(["</end>"])
    #expect(matcher.push("a <") == "a ")
    #expect(matcher.push("/en") == "")
    #expect(matcher.push("ds") == "</ends")
    #expect(matcher.push("</end>x") == "" && matcher.stopped == "</end>")
    #expect(matcher.push("more") == "" && matcher.finish() == "")
    var none = StopMatcher([])
    #expect(none.push("text") == "text")
  }

  @Test func earlyStopStringsDoNotCount() {
    let tokenizer = CharacterTokenizer(characters: "ab.".unicodeScalars)
    var rules = SamplingConfiguration()
    (rules.stop, rules.minTokens) = (["."], 3)
    var stream = TextStream(tokenizer, rules, after: [])
    var text = ""
    for token in tokenizer.encode("a..b.a") where stream.stopped == nil { text += stream.push(token) }
    text += stream.finish()
    #expect(text == "a..b" && stream.stopped == ".")
  }
}
