import ArgumentParser
import Core
import Formats
import FoundationEssentials
import Inference
import Models

/// What the text of a command may be held to.
struct GrammarOptions: ParsableArguments {
  @Flag(help: "The text is a JSON object.")
  var json = false

  @Option(help: "The text is JSON of this schema: a file, or the schema itself.")
  var jsonSchema: String?

  @Option(help: "The text as a whole matches this regular expression.")
  var regex: String?

  @Option(help: "The text is one of these, with commas between them.")
  var choices: String?

  @Option(help: "The text follows the grammar in this file, in llama.cpp's notation (GBNF).")
  var grammar: String?

  func validate() throws {
    let given =
      [json ? "--json" : nil, jsonSchema.map { _ in "--json-schema" }, regex.map { _ in "--regex" }]
      + [choices.map { _ in "--choices" }, grammar.map { _ in "--grammar" }]
    let names = given.compactMap(\.self)
    if names.count > 1 { throw ValidationError("\(names.joined(separator: " and ")) exclude each other.") }
  }

  var isGiven: Bool { json || jsonSchema != nil || regex != nil || choices != nil || grammar != nil }

  /// Nil: the text is free.
  private var request: GrammarRequest? {
    get throws {
      if json { return .json }
      if let jsonSchema {
        let isText = jsonSchema.first { !$0.isWhitespace } == "{"
        return .schema(isText ? jsonSchema : try textFile(jsonSchema, "--json-schema"))
      }
      if let regex { return .regex(regex) }
      if let choices { return .choices(choices.split(separator: ",").map(String.init)) }
      return try grammar.map { .gbnf(try textFile($0, "--grammar")) }
    }
  }

  /// What holds a text of the model to it; nil: the text is free. Notices go to standard error.
  func constraint(for loaded: LoadedModel) throws -> (any TokenConstraint)? {
    guard let request = try request else { return nil }
    let vocabulary = GrammarVocabulary(loaded.tokenizer, ends: loaded.ends, size: loaded.model.vocabulary)
    let entry = try GrammarCache(vocabulary).entry(for: request)
    for notice in entry.notices { Failure.writeError("notice: \(notice)\n") }
    return GrammarMatcher(entry.masks)
  }
}
