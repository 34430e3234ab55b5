// Masks against the slow way, texts against other engines, values that go back and forth, and input that means harm.

import Core
import Formats
import Inference
import Models
import Support
import Testing

@Suite struct GrammarMatcherTests {
  typealias Tools = GrammarTesting

  static let grammars: [(name: String, make: @Sendable () throws -> Grammar)] = [
    ("json", { Grammar.json() }),
    ("compact json", { Grammar.json(whitespace: .none) }),
    ("choices", { try Grammar(choices: ["yes", "no", "abc", "abcab", "ä"]) }),
    (
      "calls",
      { try Grammar(gbnf: "root ::= \"(\" [ab]+ (root | \"x\" name)* \")\"\nname ::= [a-z]+ | [a-c] \" \" name") }
    ),
    ("left recursion", { try Grammar(gbnf: "root ::= root \"+\" t | t\nt ::= [0-9]+ | \"(\" root \")\"") }),
    (
      "ambiguous",
      { try Grammar(gbnf: "root ::= \"a\" root \"b\" | \"a\" root \"c\" | root2 root2\nroot2 ::= \"b\"* \"ab\"?") }
    ),
    (
      "ambiguous words",
      { try Grammar(gbnf: "root ::= part+\npart ::= word | word part | \" \" part\nword ::= [a-z]+") }
    ),
    (
      "many stacks",
      { try Grammar(gbnf: "root ::= x | y\nx ::= [a-z] root [a-z] | \"c\"\ny ::= [a-z] root [a-z] [a-z]? | \"c\"") }
    ),
    ("counted", { try Grammar(regex: "(?:[a-zäö]{1,50}|x{2,70}y){2,40}") }),
    ("counted overlapping", { try Grammar(regex: "(?:ab?|b|abc){3,30}c") }),
    ("characters", { try Grammar(regex: "[^\"\\\\]{0,30}\"|.*") }),
    ("string", { try Grammar(jsonSchema: #"{"type":"string","minLength":2,"maxLength":40}"#) }),
    ("pattern and length", { try Grammar(jsonSchema: #"{"type":"string","pattern":"a.*b","maxLength":9}"#) }),
    (
      "object",
      {
        try Grammar(
          jsonSchema: ##"""
            {"type":"object","properties":{"name":{"type":"string","maxLength":20},"id":{"type":"integer","minimum":-10,"maximum":120},
            "items":{"type":"array","items":{"$ref":"#"},"maxItems":3}},"required":["id"],"additionalProperties":{"type":"boolean"}}
            """##)
      }
    ),
  ]

  @Test(arguments: 0..<grammars.count)
  func masksAreThoseOfTheSlowWay(index: Int) throws {
    let seed = RandomCase.seed
    var random = RandomSequence(seed: seed)
    let (name, make) = Self.grammars[index]
    let masks = try Tools.masks(make())
    for _ in 0..<6 {
      _ = try Tools.text(masks, limit: 25, using: &random) { matcher, allowed in
        #expect(allowed == Tools.slowMask(matcher), "\(name), seed \(seed)")
        #expect(!allowed.isEmpty || matcher.isComplete, "\(name), seed \(seed): a text cannot be finished")
      }
    }
  }

  @Test(arguments: [
    "a*b+c?", "(?:ab|cd)*", "[a-c]{2,4}x", "^abc$", "a|bc|", "(?i)aBc", "[^a-c]+", #"\d{2,3}-\w+"#, #"\s?[\w-]{3}"#,
    "(a|b)*abb",
    "(?:a{2,3}){2,90}", "(a*)*b", "(a|aa){1,100}", "x?y?z?", #"[\]\-a]+"#, "(?:(?:a|b)c?){5,80}",
  ])
  func regularExpressionsAreThoseOfSwift(pattern: String) throws {
    let masks = try Tools.masks(Grammar(regex: pattern))
    let swift = try Regex(pattern)
    let seed = RandomCase.seed
    var random = RandomSequence(seed: seed)
    let letters = Array("abcABCdxyz019-_] \n")
    for _ in 0..<300 {
      let text = String(
        (0..<Int.random(in: 0...10, using: &random)).map { _ in letters.randomElement(using: &random)! })
      #expect(
        Tools.accepts(masks, text) == (try swift.wholeMatch(in: text) != nil),
        "\(pattern) on \(text.debugDescription), seed \(seed)")
    }
    // What is written under it matches.
    for _ in 0..<5 {
      if let bytes = try Tools.text(masks, using: &random) {
        let text = String(decoding: bytes, as: UTF8.self)
        let match = try swift.wholeMatch(in: text)
        #expect(match != nil, "\(pattern) wrote \(text.debugDescription), seed \(seed)")
      }
    }
  }

  @Test func charactersAreWholeScalars() throws {
    let masks = try Tools.masks(Grammar(regex: #"[ä-ü€😀]\p{Lu}.\u20AC"#))
    #expect(Tools.accepts(masks, "öÄx€") && Tools.accepts(masks, "😀A好€"))
    #expect(!Tools.accepts(masks, "öäx€") && !Tools.accepts(masks, "öÄ\n€"))
    #expect(!Tools.accepts(masks, [0xC3, 0xC4]))
    // Every boundary of UTF-8: the set accepts exactly its members.
    let edges: [UInt32] = [0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x10FFFF]
    for low in edges {
      for high in edges where low <= high {
        let set = try Tools.masks(Grammar(regex: "[\\u{\(String(low, radix: 16))}-\\u{\(String(high, radix: 16))}]"))
        for value in edges + [low + 1, high - 1] {
          guard let scalar = Unicode.Scalar(value) else { continue }
          #expect(Tools.accepts(set, String(scalar)) == (low...high).contains(value), "\(low)-\(high): \(value)")
        }
      }
    }
  }

  @Test func gbnf() throws {
    let text = #"""
      # A list of numbers or names.
      root  ::= "[" ws (item ("," ws item)*)? "]"   # items
      item  ::= number
              | name{2,3} ws
      number ::= "-"? ("0" | [1-9] [0-9]{0,2}) ws
      name ::= [a-zA-Z_] | "\x41\u00e4\"" | .
      ws ::= [ \t\n]*
      """#
    let masks = try Tools.masks(Grammar(gbnf: text))
    for good in ["[]", "[1, -23,ab]", "[ \n0 ,xyz,Aä\"b]", "[]]]"] { #expect(Tools.accepts(masks, good), "\(good)") }
    for bad in ["", "[", "[a]", "[1 2", "[1] "] { #expect(!Tools.accepts(masks, bad), "\(bad)") }
    let expressions = try Tools.masks(
      Grammar(gbnf: "root ::= root \"+\" root2 | root2\nroot2 ::= [0-9] | \"(\" root \")\""))
    #expect(Tools.accepts(expressions, "1+(2+3)+4") && !Tools.accepts(expressions, "1++2"))
    for (wrong, part) in [
      ("root = \"a\"", "::="), ("a ::= \"b\"", "root"), ("root ::= b", "'b'"), ("root ::= \"a", "ends too early"),
      ("root ::= (\"a\"", "no end"), ("root ::= [z-a]", "wrong way"), ("root ::= \"a\"{3,2}", "below"),
      ("root ::= a \"x\"\na ::= root \"y\" | \"z\"", "begins with itself"),
      ("root ::= \"a\" root", "No text"), ("root ::= <[5]>", "tokens"), ("root ::= \"a\"\nroot ::= \"b\"", "twice"),
    ] {
      let error = #expect(throws: GrammarError.self, "\(wrong)") { _ = try Tools.masks(Grammar(gbnf: wrong)) }
      #expect(error?.message.contains(part) == true, "\(wrong): \(error?.message ?? "")")
    }
  }

  @Test func refusedExpressionsSayWhy() {
    for (wrong, part) in [
      ("a(?=b)", "look-ahead"), ("(?<!a)b", "look-behind"), (#"(a)\1"#, "references"), (#"\bword"#, "boundaries"),
      ("a**", "quantifiers"), ("(", "no end"),
      ("a)", "closing"), ("[a", "too early"), ("[]", "empty"), ("*a", "nothing to repeat"), ("a{5,2}", "below"),
      ("a++", "possessive"),
      (#"\p{Klingon}"#, "Klingon"), ("a^b", "^"), ("(?>a)", "atomic"), ("a{99999999999}", "beyond"),
      ("[z-a]", "wrong way"),
    ] {
      let error = #expect(throws: GrammarError.self, "\(wrong)") { _ = try Grammar(regex: wrong) }
      #expect(error?.message.contains(part) == true, "\(wrong): \(error?.message ?? "")")
    }
  }

  @Test func aMatcherIsAValue() throws {
    let masks = try Tools.masks(Grammar(gbnf: "root ::= \"ab\" (\"c\" | \"d\"+)"))
    var matcher = GrammarMatcher(masks)
    func token(_ text: String) -> Int32 { Int32(Tools.spellings.firstIndex(of: Array(text.utf8))!) }
    #expect(matcher.forcedBytes() == Array("ab".utf8))
    #expect(!matcher.follow(token("b")) && matcher.count == 0)
    #expect(matcher.follow(token("a")) && matcher.follow(token("b")) && !matcher.isComplete)
    var other = matcher
    #expect(other.follow(token("d")) && other.isComplete && !other.isOver && other.follow(token("d")))
    #expect(matcher.follow(token("c")) && matcher.isComplete && matcher.isOver)
    #expect(matcher.mayEnd && matcher.mustEnd)
    let none = Tools.mask(&matcher)
    #expect(none.isEmpty)
    matcher.rollback(2)
    #expect(matcher.count == 1 && !matcher.isComplete && matcher.follow(token("bc")))
    #expect(other.count == 4 && Tools.mask(&other) == [token("d")])
    matcher.rollback(2)
    matcher.accept(token("abc"))
    #expect(matcher.mustEnd)
  }

  @Test func forcedTokens() throws {
    let tokenizer = BytePairEncoding.bytes()
    let masks = GrammarMasks(
      try GrammarNetwork(Grammar(choices: ["{\"name\": 1}", "{\"name\": 2}"])), GrammarVocabulary(tokenizer))
    var matcher = GrammarMatcher(masks)
    let forced = matcher.forcedTokens(tokenizer)
    // The last could be written together with what follows.
    #expect(tokenizer.decode(forced) == "{\"name\":")
    for token in forced { matcher.accept(token) }
    matcher.accept(tokenizer.encode(" ")[0])
    matcher.accept(tokenizer.encode("2")[0])
    #expect(tokenizer.decode(matcher.forcedTokens(tokenizer)) == "}")
  }

  @Test func requestsShareGrammars() async throws {
    let cache = GrammarCache(Tools.vocabulary, capacity: 2)
    let first = try cache.entry(for: .regex("a+")).masks
    let all = try await withThrowingTaskGroup(of: GrammarMasks.self) { group in
      for _ in 0..<8 { group.addTask { try cache.entry(for: .regex("a+")).masks } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(all.allSatisfy { $0 === first })
    _ = try cache.entry(for: .json)
    #expect(try cache.entry(for: .regex("a+")).masks === first)
    // The oldest goes.
    _ = try cache.entry(for: .choices(["x"]))
    #expect(try cache.entry(for: .regex("a+")).masks === first)
    _ = try cache.entry(for: .json, whitespace: .none)
    _ = try cache.entry(for: .gbnf("root ::= \"a\""))
    #expect(try cache.entry(for: .regex("a+")).masks !== first)
    #expect(throws: GrammarError.self) { try cache.entry(for: .schema("{")) }
  }

  @Test(.timeLimit(.minutes(1))) func hostileInputEndsSoon() throws {
    func refuses(_ make: () throws -> Grammar, _ code: GrammarError.Code, _ comment: Comment? = nil) {
      let error = #expect(throws: GrammarError.self, comment) { _ = try Tools.masks(make()) }
      #expect(error?.code == code, comment)
    }
    let deep = String(repeating: "(", count: 5000) + "a" + String(repeating: ")", count: 5000)
    refuses({ try Grammar(regex: deep) }, .tooLarge)
    refuses({ try Grammar(gbnf: "root ::= \(deep.replacing("a", with: "\"a\""))") }, .tooLarge)
    refuses(
      {
        try Grammar(
          jsonSchema: String(repeating: #"{"items":"#, count: 190) + "{}" + String(repeating: "}", count: 190))
      }, .tooLarge)
    refuses({ try Grammar(jsonSchema: ##"{"$ref":"#"}"##) }, .empty)
    refuses(
      { try Grammar(jsonSchema: ##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##) }, .empty)
    refuses({ try Grammar(jsonSchema: ##"{"allOf":[{"$ref":"#"}]}"##) }, .tooLarge)
    refuses({ try Grammar(jsonSchema: #"{"type":"integer","minimum":5,"maximum":4}"#) }, .empty)
    refuses({ try Grammar(jsonSchema: #"{"type":"string","pattern":"^a$","minLength":2}"#) }, .empty)
    // References that double at each step.
    let laughs = (0..<30).map {
      ##""a\##($0)":{"allOf":[{"$ref":"#/$defs/a\##($0 + 1)"},{"$ref":"#/$defs/a\##($0 + 1)"}]}"##
    }
    refuses(
      {
        try Grammar(
          jsonSchema: ##"{"$defs":{\##(laughs.joined(separator: ",")),"a30":{"type":"string"}},"$ref":"#/$defs/a0"}"##)
      }, .tooLarge)
    // Large counts cost no more than small ones.
    for schema in [
      #"{"type":"string","maxLength":1000000000}"#,
      #"{"type":"array","items":{"type":"string","minLength":1000000},"maxItems":1000000000}"#,
      #"{"type":"string","minLength":999999999}"#,
    ] {
      var matcher = GrammarMatcher(try Tools.masks(Grammar(jsonSchema: schema)))
      let mask = Tools.mask(&matcher)
      #expect(!mask.isEmpty, "\(schema)")
    }
    // Expressions that are exponential for backtracking or as one automaton.
    for pattern in [
      "(a*)*(a*)*b", "(a|a)*b", "(a|b)*a(a|b){18}", "(?:a?){200}a{200}", "((a{1,100}){1,100}){1,100}",
      "(?:(?:x+x+)+y)+",
    ] {
      let masks = try Tools.masks(Grammar(regex: pattern))
      var matcher = GrammarMatcher(masks)
      _ = matcher.follow(bytes: Array(repeating: UInt8(ascii: "a"), count: 300))
      _ = Tools.mask(&matcher)
    }
    // 2^n stacks if they were not shared.
    var matcher = GrammarMatcher(
      try Tools.masks(Grammar(gbnf: "root ::= x | y\nx ::= \"a\" root \"b\" | \"c\"\ny ::= \"a\" root \"d\" | \"c\"")))
    let isAllowed = matcher.follow(bytes: Array(repeating: UInt8(ascii: "a"), count: 500))
    let mask = Tools.mask(&matcher)
    #expect(isAllowed && mask.count > 1)
  }

  @Test(.timeLimit(.minutes(1))) func compilingHasALimit() throws {
    func refusal(_ request: GrammarRequest) -> GrammarError? {
      #expect(throws: GrammarError.self) { try GrammarCache(Tools.vocabulary).entry(for: request) }
    }
    // Thousands of rules that are exponential as one automaton.
    let rule = "(\"a\" | \"b\")* \"a\" " + String(repeating: "(\"a\" | \"b\") ", count: 16)
    let rules = (0..<2000).map { "r\($0) ::= \(rule)" }.joined(separator: "\n")
    let all = (0..<2000).map { "r\($0)" }.joined(separator: " | ")
    let many = refusal(.gbnf("root ::= \(all)\n\(rules)"))
    #expect(many?.code == .tooLarge && many?.message.contains("the rule 'r") == true, "\(many?.message ?? "")")
    // Optional parts, any of which may come next.
    let parts = (0..<20_000).map { "[a-b]? [\(Unicode.Scalar(UInt32(0x4E00 + $0))!)]?" }.joined(separator: " ")
    let optional = refusal(.gbnf("root ::= \(parts)"))
    #expect(optional?.code == .tooLarge && optional?.message.contains("root") == true, "\(optional?.message ?? "")")
    // Patterns that exclude each other, each with each.
    let patterns = (0..<2000).map { #""^a\#($0)(b|c)*d": {"type": "string"}"# }.joined(separator: ",")
    #expect(refusal(.schema("{\"type\": \"object\", \"patternProperties\": {\(patterns)}}"))?.code == .tooLarge)
    let start = String(repeating: "(a|b)*a(a|b){9}", count: 2)
    let strings = (0..<3000).map { #""p\#($0)": {"type": "string", "pattern": "\#(start)\#($0)$", "minLength": 3}"# }
    #expect(
      refusal(.schema("{\"type\": \"object\", \"properties\": {\(strings.joined(separator: ","))}}"))?.code == .tooLarge
    )
  }

  /// A grammar whose readings become more and more ends a text with a reason, sooner than it holds others up.
  @Test(.timeLimit(.minutes(1))) func ambiguityHasALimit() throws {
    let grammar = "root ::= x | y\nx ::= [a-z] root [a-z] | \"c\"\ny ::= [a-z] root [a-z] [a-z]? | \"c\""
    // Every token of up to four of 22 letters, as many as a large vocabulary has nodes.
    let letters = Array(UInt8(ascii: "a")...UInt8(ascii: "v"))
    var spellings: [[UInt8]] = [[]]
    for begin in 0..<(1 + 22 + 484 + 10_648) { spellings += letters.map { spellings[begin] + [$0] } }
    spellings.removeFirst()
    let vocabulary = GrammarVocabulary(spellings)
    var matcher = GrammarMatcher(GrammarMasks(try GrammarNetwork(Grammar(gbnf: grammar)), vocabulary))
    func mask(_ matcher: inout GrammarMatcher) -> [Int32] {
      var words = [UInt64](repeating: 0, count: vocabulary.words)
      matcher.mask(into: &words)
      return Tools.tokens(words)
    }
    var tokens = 0
    while matcher.problem == nil, tokens < 1000 {
      let allowed = mask(&matcher)
      if matcher.problem == nil { #expect(!allowed.isEmpty) }
      // So deep in, and out again in more and more ways.
      matcher.accept(tokens == 300 ? 2 : Int32(tokens % 2))
      tokens += 1
    }
    #expect(matcher.problem?.contains("too ambiguous") == true && tokens > 5, "\(tokens) tokens")
    // No end that the grammar does not have, and no token.
    #expect(!matcher.mayEnd && !matcher.mustEnd && mask(&matcher).isEmpty)
    // Usual ones never do.
    var json = GrammarMatcher(try Tools.masks(.json()))
    for byte in (String(repeating: "{\"a\":[{},", count: 2000)).utf8 {
      _ = Tools.mask(&json)
      json.accept(Int32(byte))
    }
    #expect(json.problem == nil && !Tools.mask(&json).isEmpty)
  }

  @Test func longTextsNeedNoMoreMemory() throws {
    // Places are forgotten and found again on the way.
    let masks = try Tools.masks(Grammar(jsonSchema: #"{"type":"array","items":{"type":"string","maxLength":100000}}"#))
    var matcher = GrammarMatcher(masks)
    var isAllowed = matcher.follow(bytes: "[\"".utf8)
    for _ in 0..<60_000 where isAllowed { isAllowed = matcher.follow(bytes: "a".utf8) }
    #expect(isAllowed)
    matcher.rollback(59_999)
    #expect(matcher.follow(bytes: "b\"]".utf8) && matcher.isComplete)
  }

  @Test func manyNewStatesAreFollowedAtOnce() throws {
    let numbers = 100..<400
    let rules = numbers.map { "r\($0) ::= [^0-9]+ \"\($0)\"" }
    let root = "root ::= " + numbers.map { "r\($0)" }.joined(separator: " | ")
    let grammar = try Grammar(gbnf: ([root] + rules).joined(separator: "\n"))
    let letters = Array("abcdefghijklmnop".utf8)
    let pairs = letters.flatMap { first in letters.map { second in [first, second] } }
    let pieces = pairs.flatMap { first in pairs.map { second in first + second } }
    let spellings: [[UInt8]] = (0...255).map { [UInt8($0)] } + pieces
    var matcher = GrammarMatcher(GrammarMasks(try GrammarNetwork(grammar), GrammarVocabulary(spellings)))
    let follows = matcher.follow(bytes: [letters[0]])
    #expect(follows)
    var words = [UInt64](repeating: 0, count: (spellings.count + 63) / 64)
    // Of this thread alone, whatever else the machine does.
    func processorSeconds() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let begin = processorSeconds()
    matcher.mask(into: &words)
    #expect(processorSeconds() - begin < 0.5)
    #expect(matcher.problem == nil)
    #expect(Tools.tokens(words).count > 65_536)
  }
}
