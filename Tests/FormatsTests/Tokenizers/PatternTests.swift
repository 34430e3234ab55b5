// Patterns that files may bring along, and normal forms: their rules, and that hostile ones end.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct PatternTests {
  /// What a byte-level tokenizer without merges makes of a text that a pattern removes parts of: the text that is left.
  private static func left(of text: String, removing pattern: String) throws -> String {
    let base = String(decoding: try TestFiles.bytes(TestFiles.fixture("gpt2-tokenizer.json")), as: UTF8.self)
    let old = #"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#
    let new =
      #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":\#(JSONText.string(pattern))},"#
      + #""behavior":"Removed","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#
    let changed = base.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: new)
    try #require(changed != base)
    return try TestFiles.withFolder { folder in
      try Data(changed.utf8).write(to: URL(filePath: folder + "/tokenizer.json"))
      let tokenizer = try TokenizerFile.read(path: folder)
      return tokenizer.decode(tokenizer.encode(text))
    }
  }

  @Test(arguments: [
    (#"b+?"#, "abbbc", "ac"), (#"(?i)STRASSE"#, "die Strasse", "die "), (#"a{2,3}"#, "aaaaaab", "b"),
    (#"(?<![0-9])7"#, "7 17 7", " 17 "), (#"x(?=y)|z(?!y)"#, "xy zy zx", "y zy x"), (#"[^\P{L}a]+"#, "ab-c", "a-"),
    (#"[[:digit:]--]"#, "1-2", ""), (#"(?:a|ab)(?:c|bcd)$"#, "abcd", ""), (#"a{,2}b"#, "aaab", "a"),
    (#"\x41\u0042\t"#, "AB\tC", "C"), (#"(a?)*b"#, "aab", ""), (#"a**c"#, "aac", ""), (#"{b}"#, "a{b}", "a"),
  ])
  func rules(_ test: (pattern: String, text: String, left: String)) throws {
    #expect(try Self.left(of: test.text, removing: test.pattern) == test.left)
  }

  @Test(arguments: [
    #"(a)\1"#, "(a", "a)", "[a", "a{3,2}", #"\p{Nonesuch}"#, "*a", "(?<=a+)b", #"\q"#, "(?{x})", "a{1001}",
  ])
  func whatIsNotUnderstoodIsRefused(pattern: String) {
    let error = #expect(throws: FormatsError.self) { try Self.left(of: "a", removing: pattern) }
    #expect(error?.message.contains(pattern) == true, "\(String(describing: error))")
  }

  @Test(arguments: ["(a+)+b", "(a|a)*b", "(a|aa)+$b", "(.*)*x", "(?=(a*)*b)a", "(((a{0,30}){0,30}){0,10})b"])
  func hostilePatternsEnd(pattern: String) throws {
    let clock = ContinuousClock()
    let text = String(repeating: "a", count: 3000)
    let time = clock.measure { _ = try? Self.left(of: text, removing: pattern) }
    #expect(time < .seconds(20))  // a fraction of a second; without a limit it would be centuries
  }

  /// The text in a normal form, by way of a word model that knows no word and drops none.
  private static func normalized(_ text: String, _ form: String) throws -> String {
    let json =
      #"{"added_tokens":[],"normalizer":{"type":"\#(form)"},"pre_tokenizer":null,"post_processor":null,"decoder":"#
      + #"{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"}]},"model":{"type":"BPE","byte_fallback":"#
      + #"true,"vocab":{"#
      + (0..<256).map { "\"<0x\($0 < 16 ? "0" : "")\(String($0, radix: 16, uppercase: true))>\":\($0)" }
      .joined(separator: ",") + #"},"merges":[]}}"#
    return try TestFiles.withFolder { folder in
      try Data(json.utf8).write(to: URL(filePath: folder + "/tokenizer.json"))
      let tokenizer = try TokenizerFile.read(path: folder)
      return tokenizer.decode(tokenizer.encode(text))
    }
  }

  @Test func normalFormsKeepTheMeaning() throws {
    var generator = Generator(seed: 23)
    var scalars = String.UnicodeScalarView()
    let blocks: [ClosedRange<UInt32>] = [
      0x20...0x24F, 0x300...0x36F, 0x1E00...0x1FFF, 0x900...0x9FF, 0x1100...0x11FF, 0xAC00...0xAFFF, 0xF900...0xFAD9,
      0x591...0x5F4, 0x610...0x61A, 0x2F800...0x2FA1D,
    ]
    for _ in 0..<4000 {
      scalars.append(
        Unicode.Scalar(blocks.randomElement(using: &generator)!.randomElement(using: &generator)!)!)
    }
    let text = String(scalars)
    let composed = try Self.normalized(text, "NFC")
    let decomposed = try Self.normalized(text, "NFD")
    // Strings are equal where they are canonically equivalent: the standard library is the judge.
    #expect(composed == text && decomposed == text)
    #expect(Array(try Self.normalized(decomposed, "NFC").utf8) == Array(composed.utf8))
    #expect(Array(try Self.normalized(composed, "NFD").utf8) == Array(decomposed.utf8))
    #expect(!decomposed.unicodeScalars.contains { $0.value == 0xE9 || (0xAC00...0xD7A3).contains($0.value) })
    #expect(Array(try Self.normalized("ﬁ①㎏Å한é", "NFKC").unicodeScalars) == Array("fi1kg\u{C5}한é".unicodeScalars))
    #expect(
      Array(try Self.normalized("é\u{1E9B}\u{323}", "NFKD").unicodeScalars)
        == Array("e\u{301}s\u{323}\u{307}".unicodeScalars))
  }
}
