// What became of reading a prompt on another worker, as the worker that answers tells its router.

/// How a prompt's blocks came, or why they did not.
package enum PrefillOutcome: String, Sendable, CaseIterable {
  /// They came, or as many as there were.
  case moved
  /// There was nothing to be fetched, or it is a request whose blocks do not move, or one that the other worker has no room for.
  case needless
  /// There was no room for them.
  case full
  /// The other worker has too much to do, or one of the two is being stopped.
  case busy
  /// The other worker could not be asked, or did not answer to the end.
  case unreachable
  /// It has another model, another kind of cache or another key.
  case unusable
  /// What came was not what had been asked for.
  case damaged
  /// The worker that answers said nothing.
  case untold

  /// Of the reply.
  static let header = "x-prefill"

  /// Whether it says that the other worker is ill.
  var isFault: Bool { self == .unreachable || self == .unusable || self == .damaged }
}
