// What happens during a download, as values.

/// Something that happened while a model was being pulled.
public enum PullEvent: Sendable, Equatable {
  /// The files were chosen. `bytes` is the size of all, `present` how much of it was already there and is kept.
  case planned(files: Int, bytes: Int, present: Int)
  /// A file of `bytes` is to be fetched, or to be checked, of which `done` are there already.
  case queued(path: String, bytes: Int, done: Int)
  /// Bytes of a file arrived.
  case advanced(path: String, bytes: Int)
  /// All of a file is there; its checksum is being computed.
  case checking(path: String)
  /// So many bytes of it were read for the checksum.
  case checked(path: String, bytes: Int)
  /// A file is whole and in its place.
  case finished(path: String)
  /// What there was of a file is of no use: it begins anew.
  case restarted(path: String, reason: String)
  /// Something failed and is tried again in `delay` seconds.
  case waiting(path: String, reason: String, delay: Double)
}
