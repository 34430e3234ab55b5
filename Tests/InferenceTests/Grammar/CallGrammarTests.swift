// Calls that grammars compel are calls that the parser of the same family reads.

import Core
import Inference
import Support
import Testing

@Suite struct CallGrammarTests {
  private static let tools = [
    CalledTool(
      name: "pick", schema: #"{"type": "object", "properties": {"n": {"enum": [1, "a\"}<"]}}, "required": ["n"]}"#),
    CalledTool(name: "now", schema: #"{"type": "object", "properties": {}, "additionalProperties": false}"#),
  ]
  private static let families = StreamFamily.all.values.filter { $0.calls != nil }.map(\.name).sorted()

  @Test(arguments: families, [true, false])
  func whatIsWrittenIsRead(name: String, isSingle: Bool) throws {
    let family = try #require(StreamFamily.all[name])
    let prompt = family.reasoning.map { $0.opening + "\n\n" + $0.closing } ?? "user: Hi"
    let request = try #require(
      GrammarRequest(family, tools: Self.tools, mustCall: true, isSingle: isSingle, content: nil, after: prompt))
    let masks = try GrammarCache(GrammarTesting.vocabulary).entry(for: request).masks
    for seed in 0..<20 as Range<UInt64> {
      var random = RandomSequence(seed: seed, stream: 0)
      var matcher = GrammarMatcher(masks)
      var text: [UInt8] = []
      while !(matcher.isComplete && (text.count > 400 || random.next() % 2 == 0)) {
        let allowed = GrammarTesting.mask(&matcher)
        if allowed.isEmpty { break }
        let token = allowed[Int(random.next() % UInt64(allowed.count))]
        let follows = matcher.follow(token)
        #expect(follows)
        text += GrammarTesting.spellings[Int(token)]
      }
      var parser = StreamParser(family.answering(prompt, canCall: true, isHeld: false))
      let events = parser.push(String(decoding: text, as: UTF8.self)) + parser.finish()
      var arguments: [String] = []
      for event in events {
        switch event {
        case .call(_, let name):
          #expect(["pick", "now"].contains(name))
          arguments.append("")
        case .arguments(let index, let piece): arguments[index] += piece
        case .content(let piece):
          let isBlank = piece.allSatisfy { $0.isWhitespace }
          #expect(isBlank, "\(piece)")
        case .reasoning(let piece): Issue.record("reasoning \(piece)")
        case .done: break
        }
      }
      #expect(!arguments.isEmpty && (!isSingle || arguments.count == 1), "\(String(decoding: text, as: UTF8.self))")
      for argument in arguments {
        #expect((try? JSONValue(parsing: argument))?.object != nil, "\(argument)")
      }
    }
  }

  @Test(arguments: families) func reasoningMayComeFirst(name: String) throws {
    let family = try #require(StreamFamily.all[name])
    guard let reasoning = family.reasoning else { return }
    let content = GrammarRequest.choices(["<left>"])
    let free = try #require(
      GrammarRequest(family, tools: [], mustCall: false, isSingle: false, content: content, after: "Hi"))
    let cache = GrammarCache(GrammarTesting.vocabulary)
    let masks = try cache.entry(for: free).masks
    let lead = family.lead
    #expect(GrammarTesting.accepts(masks, lead + "<left>"))
    #expect(GrammarTesting.accepts(masks, reasoning.opening + "I <thi" + reasoning.closing + lead + "<left>"))
    #expect(!GrammarTesting.accepts(masks, reasoning.opening + "I think" + reasoning.closing + lead + "<lef"))
    #expect(!GrammarTesting.accepts(masks, reasoning.opening + "I think" + lead + "<left>"))
    // The prompt has opened it: it must be closed.
    let begun = try #require(
      GrammarRequest(
        family, tools: [], mustCall: false, isSingle: false, content: content, after: reasoning.opening + "\n"))
    let rest = try cache.entry(for: begun).masks
    #expect(GrammarTesting.accepts(rest, "hm" + reasoning.closing + lead + "<left>"))
    #expect(!GrammarTesting.accepts(rest, lead + "<left>"))
    // Markers inside the text that is held to a grammar are text.
    var parser = StreamParser(family.answering("Hi", canCall: false, isHeld: true))
    let inside = lead + "\"" + (lead.isEmpty ? reasoning.opening : "<") + "\""
    let events = parser.push(inside) + parser.finish()
    #expect(events == [.content(String(inside.dropFirst(lead.count))), .done])
  }

  @Test(arguments: families) func otherToolsAreNotCalled(name: String) throws {
    let family = try #require(StreamFamily.all[name]).reasoning(as: nil)
    let request = try #require(
      GrammarRequest(
        family, tools: [Self.tools[0]], mustCall: false, isLimited: true, isSingle: false, content: nil, after: "Hi"))
    let masks = try GrammarCache(GrammarTesting.vocabulary).entry(for: request).masks
    // What a model may write that is asked for calls of each of them: the beginning of a call of any, made by its own grammar.
    for (tool, isAllowed) in [(0, true), (1, false)] {
      let asked = try #require(
        GrammarRequest(
          family, tools: [Self.tools[tool]], mustCall: true, isSingle: true, content: nil, after: "Hi"))
      var matcher = GrammarMatcher(try GrammarCache(GrammarTesting.vocabulary).entry(for: asked).masks)
      var call = matcher.forcedBytes()
      _ = matcher.follow(bytes: call)
      while !matcher.isComplete {
        let token = try #require(GrammarTesting.mask(&matcher).last)
        _ = matcher.follow(token)
        call += GrammarTesting.spellings[Int(token)]
      }
      let text = String(decoding: call, as: UTF8.self)
      #expect(GrammarTesting.accepts(masks, text) == isAllowed, "\(text)")
      if family.lead.isEmpty, name != "llama3" {
        #expect(GrammarTesting.accepts(masks, "Hello <" + text) == isAllowed, "\(text)")
      }
    }
    #expect(GrammarTesting.accepts(masks, family.lead + "I know {\"name\" of <tool"))
    #expect(GrammarTesting.accepts(masks, family.lead))
  }
}
