// Names, addresses, tokens and patterns.

import Formats
import Testing

@Suite struct HubModelTests {
  static let names: [(String, String, String?)] = [
    ("owner/name", "owner/name", nil), ("gpt2", "gpt2", nil), ("a-b_c.d/E.1", "a-b_c.d/E.1", nil),
    ("owner/name-GGUF:Q4_K_M", "owner/name-GGUF", "Q4_K_M"),
  ]

  @Test(arguments: names)
  func reads(text: String, name: String, tag: String?) throws {
    let model = try HubModel(parsing: text)
    #expect(model.name == name && model.tag == tag && "\(model)" == text)
  }

  @Test(arguments: [
    "", "/", "a/", "/b", "a/b/c", "../b", "a/..", "a b/c", "a/b:", "a/b:c/d", "https://a/b", "é/b", "a/b\n",
  ])
  func refuses(text: String) {
    #expect(throws: FormatsError.self) { try HubModel(parsing: text) }
  }

  @Test func addressesComeFromTheArgumentTheEnvironmentOrTheStandard() throws {
    #expect(try HubEndpoint(environment: [:]).host == "https://huggingface.co")
    #expect(
      try HubEndpoint(environment: ["HF_ENDPOINT": "https://mirror.example/hub/"]).host == "https://mirror.example/hub")
    #expect(try HubEndpoint(environment: ["HF_ENDPOINT": ""]).host == "https://huggingface.co")
    #expect(try HubEndpoint(host: "mirror.example", environment: ["HF_ENDPOINT": "x"]).host == "https://mirror.example")
    for host in ["", "ftp://a", "https://", "https://a?b", "https://user@a", "https://a b"] {
      #expect(throws: FormatsError.self, "\(host)") { try HubEndpoint(host: host, environment: [:]) }
    }
    for token in ["a\u{1}b", "é"] {
      #expect(throws: FormatsError.self, "\(token)") { try HubEndpoint(environment: ["HF_TOKEN": token]) }
    }
  }

  /// Expected values: fnmatch.fnmatchcase of Python.
  static let patterns: [(String, String, Bool)] = [
    ("*.json", "config.json", true), ("*.json", "a/b.json", true), ("*.json", "a.jsonl", false), ("a?c", "abc", true),
    ("a?c", "ac", false), ("*", "", true), ("", "", true), ("", "a", false), ("[a-c]x", "bx", true),
    ("[!a-c]x", "bx", false),
    ("[!a-c]x", "dx", true), ("[]x", "[]x", true), ("[]]", "]", true), ("[a", "[a", true), ("a*b*c", "axxbyyc", true),
    ("a*b*c", "axxbyy", false), ("model-?????-of-*.safetensors", "model-00001-of-00002.safetensors", true),
    ("*a*a*a*a*a*a*a*a*b", String(repeating: "a", count: 2000), false), ("[a-]", "-", true),
  ]

  @Test(arguments: patterns)
  func matches(pattern: String, text: String, fits: Bool) {
    #expect(GlobPattern(pattern).matches(text) == fits, "\(pattern) on \(text)")
  }
}
