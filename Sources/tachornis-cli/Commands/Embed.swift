import ArgumentParser
import Core
import Formats
import Models

struct Embed: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turn texts into vectors, for search and comparison by meaning.",
    discussion: """
      Examples:
        tachornis embed --model all-MiniLM-L6-v2 --text "A cat sleeps." --text "Stocks fell."
        tachornis embed --model all-MiniLM-L6-v2 --data lines.txt --out vectors.safetensors

      For each text a line goes to standard output: {"index": 0, "vector": [...]}. With --out all vectors go into one
      file instead, as the tensor "vectors" [texts, elements].
      How vectors are made of the model's states is what modules.json in its folder says; without one, their mean. The
      model may be a GGUF file, whose vectors get the length 1.
      """)

  @OptionGroup var options: TextOptions

  @Option(help: "How a text's states become one, instead of what the folder says.")
  var pooling: Pooling?

  @Option(help: "The name of one of the model's prompts, which is put in front of each text.")
  var prompt: String?

  @Option(help: "A safetensors file to write.")
  var out: String?

  func run() throws {
    let vectors = try options.run { backend in
      try TextEncoder(
        path: options.model, precision: options.precision, pooling: pooling, limit: options.maxLength,
        backend: backend)
    } compute: { encoder, texts in
      try encoder.embed(texts, prompt: chosenPrompt(encoder.prompts))
    }
    guard let out else {
      for (index, vector) in vectors.enumerated() {
        let line: JSONValue = [
          "index": .number(JSONNumber(index)), "vector": .array(vector.map { .number(JSONNumber($0)) }),
        ]
        writeOutput(line.json + "\n")
      }
      return
    }
    let shape = [vectors.count, vectors.first?.count ?? 0]
    try vectors.flatMap(\.self).withUnsafeBytes { bytes in
      try SafetensorsWriter.write(
        [(SafetensorsTensor(name: "vectors", type: .f32, shape: shape), bytes)], to: out)
    }
  }

  private func chosenPrompt(_ prompts: [String: String]) throws -> String? {
    guard let prompt else { return nil }
    if let text = prompts[prompt] { return text }
    let known = prompts.keys.sorted().joined(separator: ", ")
    throw CommandError("The model has no prompt '\(prompt)'; it has \(known.isEmpty ? "none" : known).")
  }
}
