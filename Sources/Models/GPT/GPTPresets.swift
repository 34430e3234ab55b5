// GPTs by name: one visible list.

/// A GPT that can be asked for by name.
public struct GPTPreset: Sendable {
  public let name: String
  /// One line for people who choose.
  public let summary: String
  public let configuration: GPTConfiguration

  /// All of them, small to large.
  public static let all: [GPTPreset] = [
    .init("small", "0.8M: modern, for tests and first steps", modern(4, 128, 4, 2, 32, 384, context: 64)),
    .init("1m", "1M: modern", modern(5, 128, 4, 2, 32, 384, context: 256)),
    .init("10m", "10M: modern, for characters and stories", modern(6, 384, 6, 2, 64, 1152, context: 256)),
    .init("124m", "124M: modern, of the size of GPT-2", modern(12, 768, 12, 4, 64, 2432, context: 1024)),
    .init("350m", "350M: modern, of the size of GPT-2 medium", modern(24, 1024, 16, 4, 64, 3200, context: 1024)),
    .init("774m", "774M: modern, of the size of GPT-2 large", modern(36, 1280, 20, 4, 64, 4096, context: 1024)),
    .init("1.5b", "1.5B: modern, of the size of GPT-2 XL", modern(48, 1600, 25, 5, 64, 5120, context: 1024)),
    .init("gpt2-small", "0.8M: in GPT-2's form", .gpt2(layers: 4, width: 128, heads: 4, context: 64)),
    .init("gpt2-10m", "10M: in GPT-2's form", .gpt2(layers: 6, width: 384, heads: 6, context: 256)),
    .init("gpt2", "124M: GPT-2", .gpt2(layers: 12, width: 768, heads: 12)),
    .init("gpt2-350m", "350M: GPT-2 medium", .gpt2(layers: 24, width: 1024, heads: 16)),
    .init("gpt2-774m", "774M: GPT-2 large", .gpt2(layers: 36, width: 1280, heads: 20)),
    .init("gpt2-1.5b", "1.5B: GPT-2 XL", .gpt2(layers: 48, width: 1600, heads: 25)),
  ]

  /// The preset of a name, in any case of letters.
  public static func named(_ name: String) throws(ModelError) -> GPTPreset {
    if let preset = all.first(where: { $0.name == name.lowercased() }) { return preset }
    throw ModelError(
      .unknownPreset,
      "There is no model '\(name)'. Use one of: \(all.map(\.name).joined(separator: ", ")).")
  }

  private init(_ name: String, _ summary: String, _ configuration: GPTConfiguration) {
    self.name = name
    self.summary = summary
    self.configuration = configuration
  }

  private static func modern(
    _ layers: Int, _ width: Int, _ heads: Int, _ kvHeads: Int, _ headSize: Int, _ mlpWidth: Int, context: Int
  ) -> GPTConfiguration {
    .modern(
      layers: layers, width: width, heads: heads, kvHeads: kvHeads, headSize: headSize, mlpWidth: mlpWidth,
      context: context)
  }
}
