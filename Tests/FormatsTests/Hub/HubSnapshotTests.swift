// What a hub says of a model is checked before it is believed, and what is wanted of it is chosen.

import Formats
import Testing

@Suite struct HubSnapshotTests {
  static let model = try! HubModel(parsing: "owner/name")
  static let commit = String(repeating: "ab", count: 20)
  static let blob = String(repeating: "c", count: 40)

  static func snapshot(_ siblings: String, sha: String = commit) throws -> HubSnapshot {
    try HubSnapshot(parsing: Array(#"{"sha":"\#(sha)","private":false,"siblings":[\#(siblings)]}"#.utf8), model: model)
  }

  static func file(_ path: String, size: Int = 1) -> String {
    #"{"rfilename":"\#(path)","size":\#(size),"blobId":"\#(blob)"}"#
  }

  @Test func readsFiles() throws {
    let digest = String(repeating: "D", count: 64)
    let large =
      #"{"rfilename":"b.safetensors","size":7,"blobId":"\#(Self.blob)","lfs":{"sha256":"\#(digest)","size":7}}"#
    let snapshot = try Self.snapshot(large + "," + Self.file("a/config.json", size: 0))
    #expect(snapshot.commit == Self.commit)
    #expect(snapshot.files.map(\.path) == ["a/config.json", "b.safetensors"])
    #expect(snapshot.files.map(\.size) == [0, 7])
    #expect(snapshot.files[0].digest == .gitBlob(Self.blob))
    #expect(snapshot.files[1].digest == .sha256(digest.lowercased()))
  }

  @Test(arguments: [
    "/etc/passwd", "../x", "a/../../x", "a/..", "..", ".", "a//b", "a/./b", "", "a\\\\..\\\\b", "a\\u0000b", "a\\nb",
    ".pull/x", "a/",
    String(repeating: "x", count: 300),
  ])
  func refusesPathsThatLeaveTheFolder(path: String) {
    #expect(throws: FormatsError.self) { try Self.snapshot(Self.file("ok") + "," + Self.file(path)) }
  }

  @Test(arguments: [
    #"{"rfilename":"a","blobId":"\#(blob)"}"#, #"{"rfilename":"a","size":-1,"blobId":"\#(blob)"}"#,
    #"{"rfilename":"a","size":1e300,"blobId":"\#(blob)"}"#, #"{"rfilename":"a","size":"1","blobId":"\#(blob)"}"#,
    #"{"rfilename":"a","size":1}"#, #"{"rfilename":"a","size":1,"blobId":"xyz"}"#, #"{"size":1,"blobId":"\#(blob)"}"#,
    #"{"rfilename":"a","size":1,"blobId":"\#(blob)","lfs":{"sha256":"12","size":1}}"#, file("a") + "," + file("a"), "3",
  ])
  func refusesFilesThatCannotBeChecked(siblings: String) {
    #expect(throws: FormatsError.self) { try Self.snapshot(siblings) }
  }

  @Test(arguments: ["", "<html>", "[]", "{}", #"{"sha":"main","siblings":[]}"#, #"{"sha":"\#(commit)"}"#])
  func refusesOtherAnswers(json: String) {
    #expect(throws: FormatsError.self) { try HubSnapshot(parsing: Array(json.utf8), model: Self.model) }
  }

  // MARK: Choosing

  static func choose(
    _ paths: String, _ selection: HubSelection = HubSelection(), model: String = "owner/name"
  ) throws -> [String] {
    let snapshot = try snapshot(paths.split(separator: " ").map { file(String($0)) }.joined(separator: ","))
    return try selection.files(of: snapshot, model: HubModel(parsing: model)).map(\.path).sorted()
  }

  @Test func takesWhatIsRead() throws {
    #expect(
      try Self.choose(
        ".gitattributes README.md config.json model.safetensors pytorch_model.bin tokenizer.json vocab.txt")
        == ["config.json", "model.safetensors", "tokenizer.json"])
    #expect(
      try Self.choose("chat_template.jinja tokenizer.model qwen.tiktoken x.safetensors")
        == ["chat_template.jinja", "qwen.tiktoken", "tokenizer.model", "x.safetensors"])
  }

  @Test func takesOneFormOfTheWeights() throws {
    #expect(
      try Self.choose(
        "config.json model.safetensors model.fp16.safetensors consolidated.safetensors onnx/a.safetensors")
        == ["config.json", "model.safetensors"])
    let shards = "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json"
    #expect(try Self.choose(shards + " consolidated.safetensors") == shards.split(separator: " ").map(String.init))
    #expect(
      try Self.choose("model.safetensors 1_Pooling/config.json 2_Dense/model.safetensors")
        == ["1_Pooling/config.json", "2_Dense/model.safetensors", "model.safetensors"])
  }

  @Test func takesOneGGUFFile() throws {
    let files = "config.json m-Q4_K_M.gguf m-Q4_K_S.gguf m-Q4_0.gguf m-Q4_0_4_4.gguf m-IQ4_0.gguf mmproj-Q4_0.gguf"
    #expect(try Self.choose(files, model: "owner/name:Q4_K_M") == ["m-Q4_K_M.gguf"])
    #expect(try Self.choose(files, model: "owner/name:q4_0") == ["m-Q4_0.gguf"])
    #expect(try Self.choose(files, HubSelection(file: "mmproj-Q4_0.gguf")) == ["mmproj-Q4_0.gguf"])
    #expect(try Self.choose("m.Q8_0.gguf README.md") == ["m.Q8_0.gguf"])
    for tag in ["Q4_K", "Q9_0", "m"] {
      #expect(throws: FormatsError.self, "\(tag)") { try Self.choose(files, model: "owner/name:\(tag)") }
    }
    let error = #expect(throws: FormatsError.self) { try Self.choose(files) }
    #expect(error?.message.contains("m-Q4_K_S.gguf") == true && error?.message.contains("mmproj") == false)
    #expect(throws: FormatsError.self) { try Self.choose(files, HubSelection(file: "other.gguf")) }
  }

  @Test func takesAllPartsOfASplitFile() throws {
    let parts = (1...3).map { "Q8_0/m-Q8_0-0000\($0)-of-00003.gguf" }
    let files = parts.joined(separator: " ") + " Q4_0/m-Q4_0-00001-of-00002.gguf Q4_0/m-Q4_0-00002-of-00002.gguf"
    #expect(try Self.choose(files, model: "owner/name:Q8_0") == parts)
    #expect(try Self.choose(files, HubSelection(file: parts[1])) == parts)
  }

  @Test func followsPatterns() throws {
    let files = "README.md a.json b.json c/d.json e.bin"
    #expect(try Self.choose(files, HubSelection(include: ["*.md", "*.bin"])) == ["README.md", "e.bin"])
    #expect(try Self.choose(files, HubSelection(exclude: ["b*", "c/*"])) == ["a.json"])
    #expect(try Self.choose(files, HubSelection(include: ["*"], exclude: ["*.json"])) == ["README.md", "e.bin"])
    let error = #expect(throws: FormatsError.self) { try Self.choose(files, HubSelection(include: ["*.gguf"])) }
    #expect(error?.message.contains("e.bin") == true)
  }
}
