// Expressions for names with dots, as in the settings of training: "q_proj", "layers.1.mlp.up_proj", "layers\\.[0-3]\\..*".

/// An expression that fits a whole name or what follows on one of its dots.
package struct NamePattern: Sendable {
  private let pattern: Pattern

  package init(_ source: String) throws(FormatsError) { pattern = try Pattern("^(?:.*\\.)?(?:\(source))$") }

  package func matches(endOf name: String) -> Bool {
    var name = name
    return name.withUTF8 { text in
      var isFound = false
      pattern.forEachMatch(in: text) { _ in isFound = true }
      return isFound
    }
  }
}
