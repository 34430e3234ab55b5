// Whole conversations in the formats of many model families against transformers, directories of models, and what must
// be refused.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct ChatTemplateTests {
  static let conversations = try! TemplateFixtures.json("conversations.json")
  static let now = conversations["now"]!.double!

  static func template(_ family: String) throws -> ChatTemplate {
    let tokens = try #require(conversations["tokens"]?[family]?.array)
    return try ChatTemplate(
      TemplateFixtures.text("\(family).jinja"),
      specialTokens: JSONObject([("bos_token", tokens[0]), ("eos_token", tokens[1])]))
  }

  @Test func promptsAreThoseOfTransformers() throws {
    let prompts = try #require(Self.conversations["prompts"]?.array)
    #expect(Set(prompts.compactMap { $0.array?[0].string }).count >= 15)
    for prompt in prompts {
      let parts = try #require(prompt.array)
      let (family, name) = (try #require(parts[0].string), try #require(parts[1].string))
      let conversation = try #require(Self.conversations["conversations"]?[name])
      let template = try Self.template(family)
      let found = Result {
        try template.render(
          messages: try #require(conversation["messages"]?.array), tools: conversation["tools"]?.array,
          documents: conversation["documents"]?.array,
          addGenerationPrompt: conversation["add_generation_prompt"]?.bool ?? false,
          continueFinalMessage: conversation["continue_final_message"]?.bool ?? false,
          variables: try #require(parts[2].object), now: Self.now)
      }
      switch (parts[3].string, found) {
      case (let expected?, .success(let text)):
        #expect(text.utf8.elementsEqual(expected.utf8), "\(family), \(name): \(text)")
      case (nil, .failure(let error)):
        #expect((error as? FormatsError)?.code == .refusedByTemplate, "\(family), \(name): \(error)")
      default: Issue.record("\(family), \(name): \(found), but transformers: \(parts[3])")
      }
    }
  }

  // MARK: Directories

  @Test func directoriesHaveTheirTemplateInOneOfThreePlaces() throws {
    try TestFiles.withFolder { folder in
      func write(_ name: String, _ text: String) throws {
        try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
      }
      #expect(throws: FormatsError.self) { try ChatTemplate(directory: folder) }
      #expect(throws: FormatsError.self) { try ChatTemplate(directory: folder + "/nowhere") }
      try write(
        "tokenizer_config.json",
        #"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": null, "chat_template": "C{{ bos_token }}"}"#)
      try write("special_tokens_map.json", #"{"eos_token": "</s>", "unk_token": "?"}"#)
      let first = try ChatTemplate(directory: folder)
      #expect(try first.render(messages: []) == "C<s>")
      #expect(first.specialTokens == JSONObject([("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "?")]))
      try write("chat_template.json", #"{"chat_template": "J{{ eos_token }}"}"#)
      #expect(try ChatTemplate(directory: folder).render(messages: []) == "J</s>")
      try write("chat_template.jinja", "F{{ unk_token }}")
      let last = try ChatTemplate(directory: folder)
      #expect(try last.render(messages: []) == "F?" && last.text() == "F{{ unk_token }}")
      try write("chat_template.jinja", "{% if %}")
      let error = try #require(throws: FormatsError.self) { try ChatTemplate(directory: folder) }
      #expect(error.message.contains("line 1") && error.message.contains(folder))
    }
  }

  @Test func namedTemplatesAreChosenByToolsOrByName() throws {
    try TestFiles.withFolder { folder in
      let text =
        #"{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T{{ tools[0].x }}"}]}"#
      try text.write(toFile: "\(folder)/tokenizer_config.json", atomically: true, encoding: .utf8)
      let template = try ChatTemplate(directory: folder)
      #expect(template.names == ["default", "tool_use"])
      #expect(try template.render(messages: []) == "D")
      #expect(try template.render(messages: [], tools: [["x": 1]]) == "T1")
      #expect(try template.render(messages: [], tools: [["x": 1]], template: "default") == "D")
      #expect(throws: FormatsError.self) { try template.render(messages: [], template: "rag") }
    }
  }

  // MARK: Refusals

  @Test func errorsNameTheLine() throws {
    func message(_ text: String) -> String {
      do { return "rendered: \(try ChatTemplate(text).render(messages: []))" } catch { return "\(error)" }
    }
    #expect(message("a\n\n{{ messages.x.y }}").contains("line 3"))
    #expect(message("a\n{% for x in y %}\n{% endif %}").contains("line 3"))
    #expect(message("{% macro f() %}\n\n{{ 1 / 0 }}{% endmacro %}\n{{ f() }}").contains("line 3"))
    #expect(message("{{ '\n' }}{{ raise_exception('pay first') }}").contains("pay first"))
    #expect(message("{% include 'secret' %}").contains("stands alone"))
    #expect(message("{{ 9223372036854775807 + 1 }}").contains("64 bits"))
    #expect(message("{{ [1] | random }}").contains("random"))
    #expect(message("{{ lipsum() }}").contains("lipsum"))
    #expect(message("{{ messages[0, 1] }}").contains("[b][c]"))
    let template = try ChatTemplate("{{ messages[0].content }}")
    #expect(throws: FormatsError.self) { try template.render(messages: ["text"]) }
    #expect(throws: FormatsError.self) {
      try template.render(messages: [["content": "x"]], addGenerationPrompt: true, continueFinalMessage: true)
    }
    let huge = try JSONValue(parsing: "123456789012345678901234567890")
    #expect(throws: FormatsError.self) { try template.render(messages: [["content": huge]]) }
  }

  /// Templates that would run, grow, nest or leak for ever.
  @Test(arguments: [
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% set n = namespace(x='ab') %}{% for i in range(100) %}{% set n.x = n.x * 2 %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}",
    "{% set n = namespace(x='') %}{% for i in range(100000) %}{% set n.x = joiner(n.x) %}{% endfor %}",
    "{% set n = namespace(x='') %}{% for i in range(100000) %}{% set n.x = [n.x].index %}{% endfor %}",
    "{% set n = namespace(x=[]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=[]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
    "{% set n = namespace(x=[], y=[]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}"
      + "{% endfor %}{{ n.x == n.y }}",
    "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}",
    "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
    "{% for x in [[]] recursive %}{{ loop([[]]) }}{% endfor %}",
    "{{ 'x' * 9223372036854775807 }}", "{{ [0] * 9223372036854775807 }}", "{{ 'x'.center(9000000000000000000) }}",
    "{{ '%999999999d' % 1 }}", "{{ '{:999999999}'.format(1) }}", "{{ range(9223372036854775807) }}",
    "{{ [1] | tojson(indent=9000000000000000000) }}", "{{ 'a' | indent(9000000000000000000) }}",
    "{% set a = 'a' * 1000000 %}{% for i in range(100000) %}{{ a in a ~ 'b' }}{% endfor %}",
    "{% set a = 'a' * 100000 %}{% set b = a.replace('', a) %}{{ b.replace('', a) }}",
    "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
    "{{ [1] | batch(9000000000000000000, 0) | list }}", "{{ [1] | slice(9000000000000000000) | list }}",
    "{{ 'a\tb'.expandtabs(9000000000000000000) }}", "{{ 2 ** 2 ** 62 ** 2 }}",
  ])
  func hostileTemplatesEnd(text: String) throws {
    var limits = ChatTemplate.Limits()
    limits.work = 32 << 20
    #expect(throws: FormatsError.self) { try ChatTemplate(text).render(messages: [], limits: limits) }
  }

  @Test func deepNestingIsRefusedNotFatal() throws {
    for (open, close) in [
      ("(", ")"), ("[", "]"), ("{1:", "}"), ("not ", ""), ("-", ""), ("x[", "]"), ("x(", ")"), ("x|f(", ")"),
      ("1 if ", ""),
    ] {
      let text = "{{ " + String(repeating: open, count: 5000) + "1" + String(repeating: close, count: 5000) + " }}"
      #expect(throws: FormatsError.self) { try ChatTemplate(text) }
    }
    for tail in [".a", "[0]", "()", "|string", " is defined", " if 1"] {
      #expect(throws: FormatsError.self) { try ChatTemplate("{{ x" + String(repeating: tail, count: 5000) + " }}") }
    }
    for block in ["{% if 1 %}", "{% for x in [1] %}", "{% macro m() %}", "{% set x %}", "{% set (", "{% with a=1 %}"] {
      #expect(throws: FormatsError.self) { try ChatTemplate(String(repeating: block, count: 5000)) }
    }
    // Long but flat is fine.
    let sum = String(repeating: "1 + ", count: 20_000) + "1"
    let chain = String(repeating: "{% elif 0 %}", count: 20_000)
    #expect(try ChatTemplate("{{ \(sum) }}{% if 0 %}\(chain){% else %}e{% endif %}").render(messages: []) == "20001e")
  }

  /// Cycles of references and chains of loops are taken apart without harm.
  @Test func cyclesAreFreed() throws {
    let text = """
      {% set n = namespace() %}{% set n.self = n %}{% set n.list = [n] %}{% macro m() %}{{ n.list|length }}{% endmacro %}
      {% set n.m = m %}{{ m() }}
      {% for i in range(5000) %}{% macro f() %}{{ previous }}{% endmacro %}{% set previous = n.f %}{% set n.f = f %}{% endfor %}
      {% for i in range(5000) %}{% set o = namespace(next=n.next) %}{% set n.next = o %}{% endfor %}
      {% for x in [1] %}{% set n.loop = loop %}{% set y = loop.changed(loop) %}{% endfor %}ok
      """
    #expect(try ChatTemplate(text).render(messages: []).hasSuffix("ok"))
    #expect(throws: FormatsError.self) {
      try ChatTemplate(
        "{% set n = namespace() %}{% for x in [1] %}{% set n.l = loop %}{% endfor %}{{ n.l.changed(n.l) }}"
      )
      .render(messages: [])
    }
  }

  /// Whatever is done to a template, it renders or is refused.
  @Test func mutatedTemplatesDoNotCrash() throws {
    let seed = UInt64.random(in: 0 ... .max)
    print("mutatedTemplatesDoNotCrash: seed \(seed)")
    var generator = Generator(seed: seed)
    let families = try #require(Self.conversations["tokens"]?.object).keys
    var texts = try families.map { Array(try TemplateFixtures.text("\($0).jinja").unicodeScalars) }
    for answer in try #require(TemplateFixtures.json("expressions.json")["answers"]?.array) {
      texts.append(Array(try #require(answer.array?[0].string).unicodeScalars))
    }
    let conversation = try #require(Self.conversations["conversations"]?["calls"])
    let messages = try #require(conversation["messages"]?.array)
    let pieces = [
      "{%", "%}", "{{", "}}", "-", "(", ")", "[", "]", "|", "'", ".", ",", " if ", " for ", "0", "~", "%", "*", ":",
    ]
    var limits = ChatTemplate.Limits()
    limits.work = 4 << 20
    var refused = 0
    for _ in 0..<600 {
      var text = texts.randomElement(using: &generator)!
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let start = Int.random(in: 0...text.count, using: &generator)
        let end = min(text.count, start + Int.random(in: 0...12, using: &generator))
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: text.removeSubrange(start..<end)
        case 1: text.insert(contentsOf: pieces.randomElement(using: &generator)!.unicodeScalars, at: start)
        case 2: text.insert(contentsOf: text[start..<end], at: Int.random(in: 0...text.count, using: &generator))
        default:
          let other = texts.randomElement(using: &generator)!
          let from = Int.random(in: 0...other.count, using: &generator)
          text.replaceSubrange(start..<end, with: other[from..<min(other.count, from + 30)])
        }
      }
      var view = String.UnicodeScalarView()
      view.append(contentsOf: text)
      do {
        _ = try ChatTemplate(String(view)).render(
          messages: messages, tools: conversation["tools"]?.array, addGenerationPrompt: true, now: Self.now,
          limits: limits)
      } catch { refused += 1 }
    }
    // Some change nothing that matters, most break something.
    #expect((1..<600).contains(refused))
  }
}
