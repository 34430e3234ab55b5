// How fast texts are encoded: run by hand with TACHORNIS_SPEED set to text files, separated by colons.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct EncodingSpeed {
  private static let variable = ProcessInfo.processInfo.environment["TACHORNIS_SPEED"]
  static let paths = (variable ?? "").split(separator: ":").map(String.init)

  @Test(.enabled(if: !paths.isEmpty && TestFiles.data != nil), arguments: [SplitRule.gpt2, .cl100k])
  func megabytesPerSecond(rule: SplitRule) throws {
    let clock = ContinuousClock()
    var loaded: BytePairEncoding?
    let loading = try clock.measure {
      loaded = try TiktokenFile.read(path: TestFiles.data! + "/tokenizers/gpt2.tiktoken", splitRule: rule)
    }
    let tokenizer = try #require(loaded)
    print("\(rule): vocabulary in \(loading)")
    for path in Self.paths {
      let text = try TestFiles.bytes(path)
      var count = 0
      let times = (0..<5).map { _ in clock.measure { count = tokenizer.encode(text).count } }
      let seconds = times.sorted()[2] / .seconds(1)
      print("\(rule) \(path): \(count) tokens, \((Double(text.count) / seconds / 1e4).rounded() / 100) MB/s")
    }
  }
}
