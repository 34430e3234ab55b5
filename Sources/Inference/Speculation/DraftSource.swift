// What an engine is told of drafting, and what it makes of it.

internal import Formats
public import Models
internal import Networks
internal import Tensors

/// What drafts for a model, beside the texts themselves.
public enum DraftSource {
  /// A smaller model of the same vocabulary.
  case model(PretrainedModel)
  /// A head on the model's own states.
  case head(PretrainedHead)

  /// What a path leads to: a folder with a head, or a model.
  ///
  /// - Parameter model: the one that it drafts for.
  public init(path: String, for model: PretrainedModel) throws {
    if PretrainedHead.isHead(path: path) {
      self = .head(try PretrainedHead(path: path, for: model))
    } else {
      self = .model(try PretrainedModel(path: path))
    }
  }

  /// With its weights.
  ///
  /// - Throws: `EngineError` if it is a model of other tokens.
  func bound(for large: PretrainedModel, _ tokenizer: any Tokenizer) throws -> BoundDraft {
    switch self {
    case .head(let head): return .head(head.head, try head.weights())
    case .model(let draft):
      let probe = InferenceEngine.probe
      let own = try draft.tokenizer()
      guard draft.model.vocabulary == large.model.vocabulary,
        own.encode(probe, addingSpecials: true) == tokenizer.encode(probe, addingSpecials: true)
      else {
        throw EngineError(
          .wrongDraftModel,
          "The drafting model cuts text into other tokens (\(draft.model.vocabulary) of them) than the model that it drafts for "
            + "(\(large.model.vocabulary)). Take one of the same family.")
      }
      return .model(draft.model, try draft.weights())
    }
  }
}

/// What drafts, with its weights.
package enum BoundDraft {
  case model(any LanguageModel, WeightBinding)
  case head(any DraftHead, WeightBinding)

  /// The most positions of a text.
  var context: Int {
    switch self {
    case .model(let model, _): model.context
    case .head(let head, _): head.context
    }
  }

  /// The layers of the model that are read for it.
  var watched: [Int] {
    if case .head(let head, _) = self { head.watched } else { [] }
  }

  /// Bytes of its keys and values that one block takes.
  func bytesOfBlock(_ limits: Scheduler.Limits) -> Int {
    switch self {
    case .model(let model, let weights): StepRunner.bytesOfBlock(model, weights, limits, weights.usualStorage)
    case .head(let head, let weights): HeadRunner.bytesOfBlock(head, weights, limits)
    }
  }

  /// What reads texts with it.
  ///
  /// - Parameter limits: of the model that it drafts for.
  fileprivate func reader(
    _ limits: Scheduler.Limits, vocabulary: Int, backend: any Backend
  ) throws -> any DraftReader {
    switch self {
    case .model(let model, let weights):
      var own = limits
      own.tokens += limits.running
      let runner = try StepRunner(model, weights, own, storage: weights.usualStorage, backend: backend)
      return ModelReader(runner, blockSize: limits.blockSize)
    case .head(let head, let weights):
      let runner = try HeadRunner(head, weights, limits, backend: backend)
      return HeadReader(runner, limits, vocabulary: vocabulary)
    }
  }
}

extension Speculation {
  /// What a configuration asks for; nil: no drafts.
  ///
  /// - Parameters:
  ///   - limits: of the engine.
  ///   - vocabulary: of the model.
  /// - Throws: `EngineError` if what drafts is missing, is not asked for, or knows too short texts.
  convenience init?(
    _ configuration: EngineConfiguration, _ draft: BoundDraft?, _ limits: Scheduler.Limits, vocabulary: Int,
    backend: any Backend
  ) throws {
    let most = (tokens: configuration.draftTokens, ways: configuration.draftWays)
    if (draft != nil) != configuration.speculation.hasWeights {
      throw EngineError(
        .wrongDraftModel, "Drafts by a model or a head need both: speculation set to draft, and what drafts.")
    }
    switch configuration.speculation {
    case .none: return nil
    case .lookup, .suffix:
      // By the length of what is repeated: 1, 2 to 3, 4 to 7, …
      self.init(
        SuffixDrafter(others: configuration.speculation == .suffix), most: most,
        initial: [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.9, 0.9])
    case .draft, .mtp:
      let draft = draft!
      guard draft.context >= limits.context else {
        throw EngineError(
          .wrongDraftModel,
          "What drafts knows texts of \(draft.context) tokens, engine.context is \(limits.context): set it to \(draft.context), or "
            + "leave it out."
        )
      }
      let reader = try draft.reader(limits, vocabulary: vocabulary, backend: backend)
      self.init(
        SequentialDrafter(reader, blockSize: limits.blockSize), most: most, initial: SIMD8(repeating: 0.7))
    }
  }
}
