// The entry of libFuzzer for the parsers of weights files; Scripts/fuzz-weights builds and runs it.
//
// The first bytes of an input say which parser is meant, as they do in real files. Whatever comes in, the parser must throw or
// give tensors whose bytes are all there.

import Formats
import FoundationEssentials

private let path = FileManager.default.temporaryDirectory.path + "/fuzz-\(ProcessInfo.processInfo.processIdentifier)"

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let input = UnsafeBufferPointer(start: bytes, count: count)
  do {
    try Data(input).write(to: URL(filePath: path))
  } catch {
    fatalError("Cannot write '\(path)': \(error)")
  }
  if input.starts(with: "GGUF".utf8) {
    guard let file = try? GGUFFile(path: path) else { return 0 }
    for tensor in file.tensors {
      precondition(file.withBytes(of: tensor.name, sum)?.count == tensor.byteCount)
    }
    for array in file.metadata.values.compactMap(\.array) {
      _ = try? array.strings()
      _ = try? array.doubles()
      _ = try? array.prefix(3)
    }
  } else {
    guard let file = try? SafetensorsFile(path: path) else { return 0 }
    for tensor in file.tensors {
      precondition(file.withBytes(of: tensor.name, sum)?.count == tensor.byteCount)
    }
  }
  return 0
}

/// Touches every byte, so that one that is not mapped is noticed.
private func sum(_ bytes: UnsafeRawBufferPointer) -> (sum: UInt8, count: Int) {
  (bytes.reduce(0, &+), bytes.count)
}
