// What an engine is told of drafting, and what it makes of it.

internal import Formats
package import Models
internal import Networks
internal import Tensors

/// A smaller model that drafts for another.
package struct DraftModel {
  package var model: any LanguageModel
  package var weights: WeightBinding

  package init(model: any LanguageModel, weights: WeightBinding) { (self.model, self.weights) = (model, weights) }

  /// Whether the tokens of a model are those of another.
  ///
  /// - Throws: `EngineError` if not.
  static func check(_ draft: PretrainedModel, _ large: PretrainedModel, _ tokenizer: any Tokenizer) throws {
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
  }
}

extension Speculation {
  /// What a configuration asks for; nil: no drafts.
  ///
  /// - Parameter limits: of the engine.
  /// - Throws: `EngineError` if the drafting model is missing, is not asked for, or knows too short texts.
  convenience init?(
    _ configuration: EngineConfiguration, _ draft: DraftModel?, _ limits: Scheduler.Limits, backend: any Backend
  ) throws {
    let most = configuration.draftTokens
    if (draft != nil) != (configuration.speculation == .draft) {
      throw EngineError(
        .wrongDraftModel, "Drafts by a model need both: speculation set to draft, and a model that drafts.")
    }
    switch configuration.speculation {
    case .none: return nil
    case .lookup, .suffix:
      // By the length of what is repeated: 1, 2 to 3, 4 to 7, …
      self.init(
        SuffixDrafter(others: configuration.speculation == .suffix), most: most,
        initial: [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.9, 0.9])
    case .draft:
      let draft = draft!
      guard draft.model.context >= limits.context else {
        throw EngineError(
          .wrongDraftModel,
          "The drafting model knows texts of \(draft.model.context) tokens, the engine \(limits.context): set context="
            + "\(draft.model.context).")
      }
      var limits = limits
      limits.tokens += limits.running
      let runner = try StepRunner(
        draft.model, draft.weights, limits, storage: draft.weights.usualStorage, backend: backend)
      self.init(ModelDrafter(runner), most: most, initial: SIMD8(repeating: 0.7))
    }
  }
}
