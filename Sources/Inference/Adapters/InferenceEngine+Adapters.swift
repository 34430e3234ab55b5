// Adapters of a running engine: read and checked by whoever asks, made known between two steps.
//
// Invariant: a request keeps the adapter that its name stood for when it came, however often that is replaced or forgotten.

package import Models
internal import Synchronization

/// An adapter that requests can name.
public struct KnownAdapter: Sendable, Hashable {
  public let name: String
  public let path: String
  public let rank: Int
}

extension InferenceEngine {
  /// Those that requests can name now, by name.
  public var adapters: [KnownAdapter] {
    adapterList.withLock { list in
      list.map { KnownAdapter(name: $0.key, path: $0.value.path, rank: $0.value.rank) }.sorted { $0.name < $1.name }
    }
  }

  /// Whether requests can name an adapter.
  package func hasAdapter(_ name: String) -> Bool { adapterList.withLock { $0[name] != nil } }

  /// Reads an adapter and makes it known. Reading takes the caller's time, not the engine's.
  ///
  /// - Parameters:
  ///   - path: a folder of PEFT, or a GGUF file of llama.cpp.
  ///   - replacing: whether the name may stand for another one now.
  /// - Throws: `ModelError` if it cannot be used with the model, `EngineError` if the name is taken.
  public func load(adapter name: String, path: String, replacing: Bool = false) throws {
    if !replacing { try checkFree(name) }
    guard let pretrained else { preconditionFailure("an engine without a model on disk is given adapters") }
    try load(LowRankAdapter(path: path, for: pretrained, element: adapterForm.element), as: name, replacing: replacing)
  }

  /// Makes an adapter known.
  package func load(_ adapter: LowRankAdapter, as name: String, replacing: Bool = false) throws {
    if adapter.rank > adapterForm.rank {
      throw EngineError(
        .badAdapter,
        "The adapter '\(adapter.path)' is of rank \(adapter.rank); the most is \(adapterForm.rank). Set adapterRank higher."
      )
    }
    let fingerprint = adapter.fingerprint
    let result = perform { [self] worker in
      Result<Void, any Error> {
        if !replacing { try checkFree(name) }
        try worker.adapt(name, adapter, fingerprint: fingerprint)
        adapterList.withLock { $0[name] = adapter }
      }
    }
    guard let result else { throw EngineError(.stopping, "The engine takes no more requests.") }
    try result.get()
  }

  /// Forgets an adapter; requests that have begun with it go on.
  ///
  /// - Throws: `EngineError` if there is none of this name.
  public func unload(adapter name: String) throws {
    let found = perform { [self] worker in
      worker.forget(name)
      return adapterList.withLock { $0.removeValue(forKey: name) } != nil
    }
    if found != true { throw EngineError(.unknownAdapter, "There is no adapter '\(name)'.") }
  }

  private func checkFree(_ name: String) throws {
    guard let known = adapterList.withLock({ $0[name] }) else { return }
    throw EngineError(.badAdapter, "The adapter '\(name)' is loaded already, from '\(known.path)'.")
  }
}
