import ArgumentParser
import Core
import Models

struct Classify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say which labels fit texts.",
    discussion: """
      Example:
        tachornis classify --model sentiment-model --text "What a day!" --data reviews.txt

      For each text a line goes to standard output: {"index": 0, "label": "positive", "scores": {"positive": 0.98, ...}}.
      """)

  @OptionGroup var options: TextOptions

  func run() throws {
    let (labels, results) = try options.run { backend in
      try TextClassifier(
        path: options.model, precision: options.precision, limit: options.maxLength, backend: backend)
    } compute: { classifier, texts in
      (classifier.labels, try classifier.classify(texts))
    }
    for (index, scores) in results.enumerated() {
      let best = scores.indices.max { scores[$0] < scores[$1] }!
      let byLabel = zip(labels, scores).map { ($0, JSONValue.number(JSONNumber($1))) }
      let line: JSONValue = [
        "index": .number(JSONNumber(index)), "label": .string(labels[best]),
        "scores": .object(JSONObject(byLabel)),
      ]
      writeOutput(line.json + "\n")
    }
  }
}
