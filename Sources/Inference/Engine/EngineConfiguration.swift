// What an operator chooses about an engine.

public import Core

/// Sizes and bounds of an engine.
public struct EngineConfiguration: Configuration, Hashable {
  /// The most positions of a text, prompt and answer; nil: the model's context, or as much of it as what drafts knows
  /// and the cache has room for.
  public var context: Int?
  /// The most tokens of a step: of all answers that are being written one each, the rest of prompts.
  public var stepTokens = 256
  /// The most texts that are read and written at a time.
  public var running = 32
  /// The most requests that wait; more are refused.
  public var waiting = 1024
  /// Memory for keys and values, in MiB; one text of `context` positions, if they are set, fits in any case.
  public var cacheMemory = 1024
  /// Blocks of the cache, instead of `cacheMemory`.
  public var cacheBlocks: Int?
  /// Positions in a block of the cache.
  public var blockSize = 16
  /// The most adapters that take part in a step; texts with others wait.
  public var adapterSlots = 8
  /// The greatest rank of an adapter.
  public var adapterRank = 64

  /// A folder where blocks of the cache are kept beyond the engine's life; nil: nowhere.
  public var cacheFolder: String?
  /// Room in it for this model, in MiB.
  public var cacheFolderSize = 4096
  /// From where tokens are drafted that the model then judges several at a time.
  public var speculation = SpeculationMethod.none
  /// The most tokens of a text that are drafted at once, one behind the other.
  public var draftTokens = 16
  /// The most ways on of a text that are judged at once, as branches of a tree; 1: one chain of tokens.
  public var draftWays = 3

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(context.map { $0 > 0 } ?? true, "context", context ?? 0, "must be positive")
    check(running > 0 && running <= 4096, "running", running, "must be from 1 to 4096")
    check(
      stepTokens >= running && stepTokens <= 1 << 16, "stepTokens", stepTokens,
      "must be from running, \(running), to 65536")
    check(waiting > 0, "waiting", waiting, "must be positive")
    check(cacheMemory > 0, "cacheMemory", cacheMemory, "must be positive, in MiB")
    check(cacheBlocks.map { $0 > 0 } ?? true, "cacheBlocks", cacheBlocks ?? 0, "must be positive")
    check(cacheFolderSize > 0, "cacheFolderSize", cacheFolderSize, "must be positive, in MiB")
    check(
      cacheFolder == nil || !speculation.hasWeights, "cacheFolder", cacheFolder ?? "",
      "cannot be used with a drafting model or head, whose keys and values it does not keep")
    check(draftTokens > 0 && draftTokens <= 256, "draftTokens", draftTokens, "must be from 1 to 256")
    check(draftWays > 0 && draftWays <= 8, "draftWays", draftWays, "must be from 1 to 8")
    check(adapterSlots > 0 && adapterSlots <= 4096, "adapterSlots", adapterSlots, "must be from 1 to 4096")
    check(adapterRank > 0, "adapterRank", adapterRank, "must be positive")
    check(blockSize > 0 && blockSize <= 1024, "blockSize", blockSize, "must be from 1 to 1024")
  }
}

/// From where drafts come.
public enum SpeculationMethod: String, Codable, Sendable, CaseIterable {
  case none
  /// From the text itself: what followed where its end stood before.
  case lookup
  /// The same, and from what was written for others.
  case suffix
  /// From a smaller model, or a head on the model's own states.
  case draft
  /// From the layer for the token after the next that the model brings itself.
  case mtp

  /// Whether drafts have weights, and keys and values, of their own.
  var hasWeights: Bool { self == .draft || self == .mtp }
}
