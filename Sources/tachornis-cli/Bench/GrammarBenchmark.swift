// How long the masks of a grammar take, by grammar, along texts that a model of random weights would write.
//
// Invariant: the vocabulary has the size and about the shape of those of today's models: all bytes, what JSON is punctuated with, and
// words made of syllables with and without a space in front. Grammars are compiled once; what is measured is each further token.

internal import Core
internal import Inference

/// Follows texts under each grammar whose title contains `filter`, with a vocabulary of 128,256.
/// - Returns: how many grammars were measured.
@discardableResult
func runGrammarBenchmarks(filter: String, json: Bool, seconds: Double, emit: (String) -> Void) throws -> Int {
  let chosen = benchedGrammars.filter { filter.isEmpty || grammarTitle($0.name).contains(filter) }
  if chosen.isEmpty { return 0 }
  let vocabulary = GrammarVocabulary(likelySpellings(128_256))
  let clock = MonotonicClock()
  for (name, request) in chosen {
    let cache = GrammarCache(vocabulary)
    var begin = clock.seconds
    let masks = try cache.entry(for: request).masks
    let compiled = clock.seconds - begin
    begin = clock.seconds
    var times: [Double] = []
    var seed: UInt64 = 0
    while times.count < 100 || clock.seconds - begin < seconds && times.count < 100_000 {
      seed += 1
      times += follow(masks, vocabulary.words, seed: seed, clock)
    }
    times.sort()
    let mean = times.reduce(0, +) / Double(times.count)
    let (median, late, most) = (times[times.count / 2], times[times.count * 99 / 100], times.last!)
    if json {
      let line = JSONObject([
        ("name", .string("grammar")), ("variant", .string(name)), ("compile_seconds", .number(JSONNumber(compiled))),
        ("seconds", .number(JSONNumber(mean))), ("p99_seconds", .number(JSONNumber(late))),
        ("max_seconds", .number(JSONNumber(most))),
      ])
      emit(JSONValue.object(line).json)
    } else {
      func us(_ time: Double) -> String { Numerals.fixed(time * 1e6, 1) }
      emit(
        "\(grammarTitle(name)): mean \(us(mean)) us, median \(us(median)), p99 \(us(late)), most \(us(most)); "
          + "compiled in \(Numerals.fixed(compiled * 1e3, 1)) ms")
    }
  }
  return chosen.count
}

/// The times of a mask and the step behind it for each token of one text.
private func follow(_ masks: GrammarMasks, _ words: Int, seed: UInt64, _ clock: MonotonicClock) -> [Double] {
  var random = RandomSequence(seed: seed)
  var matcher = GrammarMatcher(masks)
  var mask = [UInt64](repeating: 0, count: words)
  var times: [Double] = []
  while times.count < 200, !matcher.isOver {
    for word in mask.indices { mask[word] = 0 }
    let begin = clock.seconds
    matcher.mask(into: &mask)
    let middle = clock.seconds
    let allowed = mask.reduce(0) { $0 + $1.nonzeroBitCount }
    if allowed == 0 { break }
    var rank = Int(random.next() % UInt64(allowed))
    var token: Int32 = 0
    for (index, word) in mask.enumerated() {
      if rank >= word.nonzeroBitCount {
        rank -= word.nonzeroBitCount
        continue
      }
      var rest = word
      for _ in 0..<rank { rest &= rest - 1 }
      token = Int32(64 * index + rest.trailingZeroBitCount)
      break
    }
    let late = clock.seconds
    matcher.accept(token)
    times.append(middle - begin + clock.seconds - late)
  }
  return times
}

private func grammarTitle(_ name: String) -> String { "grammar \(name)" }

private let benchedGrammars: [(name: String, request: GrammarRequest)] = [
  ("json", .json),
  (
    "schema",
    .schema(
      ##"""
      {"type": "object", "properties": {"name": {"type": "string", "maxLength": 40}, "age": {"type": "integer", "minimum": 0,
       "maximum": 150}, "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z-]+$"}, "maxItems": 8},
       "kind": {"enum": ["person", "company"]}, "children": {"type": "array", "items": {"$ref": "#"}}},
       "required": ["name", "kind"], "additionalProperties": false}
      """##)
  ),
  ("regex", .regex(#"[A-Z][a-z]+( [A-Z][a-z]+)*, \d{4}-\d{2}-\d{2}(: .{0,200})?"#)),
  ("choices", .choices((0..<200).map { "choice number \($0 * 7919 % 1000)" })),
  (
    "arithmetic",
    .gbnf(
      "root ::= term ([-+*/] term)*\nterm ::= ws (number | name | \"(\" root \")\") ws\nnumber ::= [0-9]+ (\".\" [0-9]+)?\n"
        + "name ::= [a-z] [a-z0-9_]*\nws ::= [ \\n]*")
  ),
  ("words", .gbnf("root ::= line+\nline ::= word (\" \" word)* \"\\n\"\nword ::= [a-zA-Z']+ [.,;:!?]?")),
  // Every text has many readings.
  ("ambiguous words", .gbnf("root ::= part+\npart ::= word | word part | \" \" part\nword ::= [a-z]+")),
  (
    "ambiguous lists",
    .gbnf("root ::= item | root2\nitem ::= [a-z]+ \",\"? item2\nitem2 ::= item | \"\"\nroot2 ::= item item")
  ),
  (
    "ambiguous expressions",
    .gbnf("root ::= e\ne ::= t | t op e | t e\nt ::= [a-z] t | [a-z] | \"(\" e \")\"\nop ::= [-+ ]?")
  ),
  ("many stacks", .gbnf("root ::= x | y\nx ::= [a-z] root [a-z] | \"c\"\ny ::= [a-z] root [a-z] [a-z]? | \"c\"")),
]

/// Tokens as those of a trained tokenizer: their bytes.
private func likelySpellings(_ count: Int) -> [[UInt8]] {
  let marks = [
    "\"", "{\"", "\":", "\": ", "\": \"", "\",", "\", \"", "\"}", "\"]", "},", "}, {", "[{", "}]", "}}", ", ", ": ",
    " {",
    " [", "],", "true", "false", "null", "\n", "\n\n", "  ", "    ", "\\n", "\\\"", "\\u", "()", ");", " (", "->",
    "==", "...",
  ]
  var spellings = (0...255).map { [UInt8($0)] } + marks.filter { $0.utf8.count > 1 }.map { Array($0.utf8) }
  for number in 0..<1000 { spellings.append(Array("\(number)".utf8)) }
  var known = Set(spellings)
  let (first, second) = (Array("bcdfghklmnprstvwz".utf8), Array("aeiou".utf8))
  var random = RandomSequence(seed: 7)
  func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
  while spellings.count < count {
    var word: [UInt8] = below(2) == 0 ? [UInt8(ascii: " ")] : []
    for _ in 0...below(4) {
      word.append(first[below(first.count)])
      word.append(second[below(second.count)])
      if below(3) == 0 { word.append(first[below(first.count)]) }
    }
    if below(8) == 0 { word[word[0] == 32 ? 1 : 0] &-= 32 }
    if known.insert(word).inserted { spellings.append(word) }
  }
  return spellings
}
