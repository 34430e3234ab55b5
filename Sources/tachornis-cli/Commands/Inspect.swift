import ArgumentParser
import Core
import Formats
import FoundationEssentials

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a weights file or a model's folder holds.",
    discussion: """
      Examples:
        tachornis inspect model.gguf
        tachornis inspect models/llama --json

      Nothing is loaded: files of any size are listed at once, of whatever architecture they are.
      """)

  @Argument(help: "A .gguf or .safetensors file, an index of safetensors, or a folder that holds one of these.")
  var path: String

  @Flag(help: "Print one JSON object instead of a table.")
  var json = false

  func run() throws {
    let inspection = try Inspection(path: path)
    writeOutput(json ? inspection.json.json + "\n" : inspection.text)
  }
}

/// What there is to say of a model's weights.
struct Inspection {
  let path: String
  /// `GGUF version 3`, `safetensors`.
  let format: String
  let files: [String]
  /// `general.architecture`, or `model_type` of config.json.
  let architecture: String?
  let metadata: [Entry]
  let tensors: [Row]

  struct Entry {
    var key: String
    var value: JSONValue
  }

  struct Row {
    var name: String
    var type: String
    var shape: [Int]
    var count: Int
    var bytes: Int
  }

  init(path: String) throws {
    self.path = path
    switch try WeightContainer(path: path) {
    case .gguf(let file):
      format = "GGUF version \(file.version)"
      files = file.paths
      architecture = file.metadata["general.architecture"]?.string
      metadata = try file.keys.map { Entry(key: $0, value: try Inspection.value(file.metadata[$0]!)) }
      tensors = file.tensors.map {
        Row(name: $0.name, type: $0.type.name, shape: $0.shape, count: $0.count, bytes: $0.byteCount)
      }
    case .safetensors(let weights):
      format = "safetensors"
      files = weights.files.map(\.path)
      architecture = Inspection.modelType(nextTo: files[0])
      let texts = weights.files.reduce(into: [:]) { all, file in all.merge(file.metadata) { first, _ in first } }
      metadata = texts.sorted { $0.key < $1.key }.map { Entry(key: $0.key, value: .string($0.value)) }
      tensors = weights.names.map { name in
        let tensor = weights.tensor(name)!
        return Row(
          name: name, type: tensor.type.rawValue, shape: tensor.shape, count: tensor.count, bytes: tensor.byteCount)
      }
    }
  }

  /// `model_type` of the config.json in a file's folder, if there is one that can be read.
  private static func modelType(nextTo file: String) -> String? {
    let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
    guard let text = try? MappedFile(path: folder + "/config.json"),
      let configuration = try? text.withBytes({ try JSONValue(parsing: $0) })
    else { return nil }
    return configuration["model_type"]?.string
  }

  /// Elements of an array that are shown.
  private static let shown = 8

  private static func value(_ value: GGUFValue) throws -> JSONValue {
    switch value {
    case .bool(let flag): return .bool(flag)
    case .string(let text): return .string(text)
    case .float32(let number): return .number(JSONNumber(number))
    case .float64(let number): return .number(JSONNumber(number))
    case .uint64(let number): return .number(JSONNumber(number))
    case .array(let array):
      let first = try array.prefix(shown)
      let elements: [JSONValue] =
        switch array.kind {
        case .string: try first.strings().map { .string($0) }
        case .bool: try first.integers().map { .bool($0 != 0) }
        default: try first.doubles().map { .number(JSONNumber($0)) }
        }
      if array.count == elements.count { return .array(elements) }
      return ["count": .number(JSONNumber(array.count)), "first": .array(elements)]
    default: return .number(JSONNumber(value.integer!))
    }
  }

  // MARK: Output

  /// What tensors of one type take together, the largest first.
  private var types: [(name: String, tensors: Int, count: Int, bytes: Int)] {
    Dictionary(grouping: tensors, by: \.type).map { name, rows in
      (name, rows.count, rows.map(\.count).reduce(0, +), rows.map(\.bytes).reduce(0, +))
    }.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }
  }

  private var count: Int { tensors.map(\.count).reduce(0, +) }
  private var bytes: Int { tensors.map(\.bytes).reduce(0, +) }

  var json: JSONValue {
    func number(_ value: Int) -> JSONValue { .number(JSONNumber(value)) }
    return [
      "path": .string(path), "format": .string(format), "files": .array(files.map { .string($0) }),
      "architecture": architecture.map { .string($0) } ?? .null, "parameters": number(count), "bytes": number(bytes),
      "types": .object(
        JSONObject(
          types.map {
            ($0.name, ["tensors": number($0.tensors), "parameters": number($0.count), "bytes": number($0.bytes)])
          })),
      "metadata": .object(JSONObject(metadata.map { ($0.key, $0.value) })),
      "tensors": .array(
        tensors.map {
          [
            "name": .string($0.name), "type": .string($0.type), "shape": .array($0.shape.map(number)),
            "bytes": number($0.bytes),
          ]
        }),
    ]
  }

  var text: String {
    var text = "\(path): \(format)"
    if files.count > 1 { text += " in \(files.count) files" }
    text += architecture.map { ", \(Inspection.printable($0))" } ?? ""
    text += "\n\(Numerals.grouped(count)) parameters (\(Numerals.scaled(Double(count)))) in \(tensors.count) tensors, "
    text += "\(Numerals.bytes(bytes))\n"
    if !tensors.isEmpty {
      text +=
        "\n"
        + Inspection.table(
          ["type", "tensors", "parameters", "bytes"],
          types.map { [$0.name, "\($0.tensors)", Numerals.grouped($0.count), Numerals.grouped($0.bytes)] },
          rightAligned: [1, 2, 3])
    }
    if !metadata.isEmpty {
      let rows = metadata.map { [Inspection.printable($0.key), Inspection.short($0.value)] }
      text += "\n" + Inspection.table(["metadata", ""], rows)
    }
    let rows = tensors.map {
      let shape = "[" + $0.shape.map(String.init).joined(separator: ", ") + "]"
      return [Inspection.printable($0.name), $0.type, shape, Numerals.grouped($0.bytes)]
    }
    if tensors.isEmpty { return text }
    return text + "\n" + Inspection.table(["tensor", "type", "shape", "bytes"], rows, rightAligned: [3])
  }

  /// A value in a line.
  private static func short(_ value: JSONValue) -> String {
    if let count = value["count"]?.integer, case .array(let first)? = value["first"] {
      return "[" + first.map(short).joined(separator: ", ") + ", … \(Numerals.grouped(count)) in all]"
    }
    let text = value.string.map(JSONText.string) ?? value.json
    return printable(text.count <= 80 ? text : "\(text.prefix(79))…")
  }

  /// Names come from strangers: nothing that a terminal would obey.
  private static func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "�" : $0 }))
  }

  private static func table(_ head: [String], _ rows: [[String]], rightAligned: Set<Int> = []) -> String {
    let lines = [head] + rows
    let widths = head.indices.map { column in lines.map { $0[column].count }.max()! }
    return lines.map { line in
      let cells = line.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - line[column].count)
        return rightAligned.contains(column) ? space + line[column] : line[column] + space
      }
      var text = cells.joined(separator: "  ")
      while text.last == " " { text.removeLast() }
      return text + "\n"
    }.joined()
  }
}
