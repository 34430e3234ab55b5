// Places that tests read from and write to.

import FoundationEssentials

/// Files next to the tests, and files that only some machines have.
enum TestFiles {
  private static let folder = String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/")!))

  /// A checked-in fixture.
  static func fixture(_ name: String) -> String { "\(folder)/Fixtures/\(name)" }

  /// The folder with shared data, if this machine has one: `TACHORNIS_DATA` or `../shared/data` of the package.
  static let data: String? = {
    let candidates = [
      ProcessInfo.processInfo.environment["TACHORNIS_DATA"], "\(folder)/../../../shared/data",
    ]
    return candidates.compactMap { $0 }.first {
      FileManager.default.fileExists(atPath: "\($0)/tokenizers/gpt2.tiktoken")
    }
  }()

  static func bytes(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(filePath: path)))
  }

  /// Calls `body` with a new folder and removes it afterwards.
  static func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let path = FileManager.default.temporaryDirectory.path + "/formats-\(UInt64.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
  }
}

/// Random numbers that a test can repeat.
struct Generator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
