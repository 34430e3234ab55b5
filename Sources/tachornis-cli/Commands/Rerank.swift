import ArgumentParser
import Core
import Models

struct Rerank: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sort texts by how well they answer a query.",
    discussion: """
      Example:
        tachornis rerank --model ms-marco-MiniLM-L6-v2 --query "How do cats sleep?" --data passages.txt

      For each text a line goes to standard output, the best first: {"index": 3, "score": 0.97, "text": "..."}.
      The model is a cross-encoder: one that classifies pairs of texts with a single label.
      """)

  @OptionGroup var options: TextOptions

  @Option(help: "What the texts are to answer.")
  var query: String

  func run() throws {
    let (texts, scores) = try options.run { backend in
      try TextClassifier(
        path: options.model, precision: options.precision, limit: options.maxLength, backend: backend)
    } compute: { classifier, texts in
      (texts, try classifier.score(query, texts))
    }
    for index in texts.indices.sorted(by: { (scores[$1], $0) < (scores[$0], $1) }) {
      let line: JSONValue = [
        "index": .number(JSONNumber(index)), "score": .number(JSONNumber(scores[index])), "text": .string(texts[index]),
      ]
      writeOutput(line.json + "\n")
    }
  }
}
