// Inputs that libFuzzer has found to reach different places of the parsers (Scripts/fuzz-weights): they must throw or give
// tensors whose bytes are all there.

import Formats
import FoundationEssentials
import Testing

@Suite struct FuzzCorpusTests {
  static let names: [String] = {
    let names = try? FileManager.default.contentsOfDirectory(atPath: TestFiles.fixture("FuzzCorpus"))
    return (names ?? []).sorted()
  }()

  @Test func thereAreSomeOfEach() {
    for format in ["gguf-", "safetensors-"] { #expect(Self.names.filter { $0.hasPrefix(format) }.count > 10) }
  }

  @Test(arguments: names) func isReadOrRefused(name: String) throws {
    let path = TestFiles.fixture("FuzzCorpus/" + name)
    do throws(FormatsError) {
      if name.hasPrefix("gguf-") {
        let file = try GGUFFile(path: path)
        for tensor in file.tensors { #expect(file.withBytes(of: tensor.name, Array.init)?.count == tensor.byteCount) }
      } else {
        let file = try SafetensorsFile(path: path)
        for tensor in file.tensors { #expect(file.withBytes(of: tensor.name, Array.init)?.count == tensor.byteCount) }
      }
    } catch {
      #expect(error.message.contains(name), "\(error.message)")
    }
  }
}
