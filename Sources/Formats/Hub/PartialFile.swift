// A file on its way: its bytes where they will be, and which of them are there.
//
// The file is cut into chunks of equal size, which are fetched independently and each from its start to its end. Two
// files in the work folder hold the state: `<key>.data`, which has the final size from the start (and holes for what is
// missing), and `<key>.journal` (see DownloadJournal).
//
// Invariant: `done[i]` bytes from the start of chunk i have been written. When the contents turn out to be other than was
// believed, everything starts over under a new `generation`, and writes for an earlier one are refused.

internal import Core
internal import FoundationEssentials
internal import Synchronization

/// An unfinished download of one file. May be used by several tasks at once.
final class PartialFile: Sendable {
  /// What a task is to fetch.
  struct Piece {
    let chunk: Int
    let generation: Int
    /// The bytes that are missing.
    let bytes: Range<Int>
    /// The entity tag that the other bytes came with.
    let etag: String?
  }

  private struct State {
    var generation = 0
    var chunkSize: Int
    var done: [Int]
    /// What the journal says of each chunk.
    var noted: [Int]
    var etag: String?
    var journal: DownloadJournal
    var isFinishing = false
  }

  let file: HubFile
  let dataPath: String
  private let journalPath: String
  private let descriptor: Int32
  private let state: Mutex<State>

  private static let mostChunks = 1 << 16
  /// How much of a chunk may be fetched again after a kill.
  private static let noteInterval = 1 << 20

  /// Opens what an earlier process left of `file` in `folder`, or begins anew.
  /// - Parameter chunkSize: bytes that one request fetches; more for a file that would have too many chunks.
  init(_ file: HubFile, folder: String, chunkSize: Int) throws {
    self.file = file
    let chunkSize = max(chunkSize, file.size / Self.mostChunks + 1)
    let key = String(FileDigest.sha256(Array(file.path.utf8)).prefix(32))
    dataPath = "\(folder)/\(key).data"
    journalPath = "\(folder)/\(key).journal"
    descriptor = open(dataPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FormatsError(FileError(cannot: "write", path: dataPath, errorNumber: errno)) }

    let count = Self.chunkCount(file.size, chunkSize)
    var done = [Int](repeating: 0, count: count)
    let identity = Self.identity(file, chunkSize)
    var status = stat()
    fstat(descriptor, &status)
    var etag: String?
    let journal: DownloadJournal
    do throws(FileError) {
      if status.st_size == file.size, let record = DownloadJournal.record(path: journalPath, identity: identity) {
        for (chunk, bytes) in record.done where done.indices.contains(chunk) {
          done[chunk] = min(max(0, bytes), Self.range(chunk, file.size, chunkSize).count)
        }
        etag = record.etag
        journal = try DownloadJournal(continuing: journalPath)
      } else {
        journal = try DownloadJournal(path: journalPath, identity: identity)
      }
    } catch {
      close(descriptor)
      throw FormatsError(error)
    }
    state = Mutex(State(chunkSize: chunkSize, done: done, noted: done, etag: etag, journal: journal))
  }

  deinit { close(descriptor) }

  /// Gives the data its final size; to be called before anything is written.
  func extend() throws {
    guard ftruncate(descriptor, off_t(file.size)) == 0 else {
      throw FormatsError(FileError(cannot: "write", path: dataPath, errorNumber: errno))
    }
  }

  private static func identity(_ file: HubFile, _ chunkSize: Int) -> String {
    "tachornis-pull 1 \(file.digest) \(file.size) bytes in chunks of \(chunkSize)"
  }

  /// An empty file has one chunk too: somebody must find it complete.
  private static func chunkCount(_ size: Int, _ chunkSize: Int) -> Int { max(1, (size + chunkSize - 1) / chunkSize) }

  private static func range(_ chunk: Int, _ size: Int, _ chunkSize: Int) -> Range<Int> {
    chunk * chunkSize..<min(size, (chunk + 1) * chunkSize)
  }

  // MARK: What is there

  /// Bytes that are in place.
  var doneBytes: Int { state.withLock { $0.done.reduce(0, +) } }

  /// The chunks that someone has to fetch; for a file that is there already but not yet checked, its first one.
  var openChunks: [PullJob] {
    state.withLock { state in
      let open = state.done.indices.filter { state.done[$0] < Self.range($0, file.size, state.chunkSize).count }
      return (open.isEmpty ? [0] : open).map { PullJob(file: self, chunk: $0, generation: state.generation) }
    }
  }

  /// What of a chunk is missing; nil if everything began anew meanwhile.
  func piece(_ chunk: Int, generation: Int) -> Piece? {
    state.withLock { state in
      guard state.generation == generation else { return nil }
      let range = Self.range(chunk, file.size, state.chunkSize)
      return Piece(
        chunk: chunk, generation: state.generation, bytes: range.lowerBound + state.done[chunk]..<range.upperBound,
        etag: state.etag)
    }
  }

  /// The generation, for the one caller that finds all bytes in place and is to check them; nil for all others.
  func startsFinishing() -> Int? {
    state.withLock { state in
      guard !state.isFinishing, state.done.reduce(0, +) == file.size else { return nil }
      state.isFinishing = true
      return state.generation
    }
  }

  // MARK: Progress

  /// Puts the next bytes of a piece in place. False if the piece belongs to an earlier generation. No more than the chunk
  /// holds may be written.
  func write(_ bytes: UnsafeRawBufferPointer, to piece: Piece) throws -> Bool {
    // Under the lock, so that a write of an earlier generation cannot land on top of a later one.
    try state.withLock { state in
      guard state.generation == piece.generation else { return false }
      let range = Self.range(piece.chunk, file.size, state.chunkSize)
      let done = state.done[piece.chunk]
      precondition(
        done + bytes.count <= range.count, "write of \(bytes.count) bytes where \(range.count - done) are missing")
      var written = 0
      while written < bytes.count {
        let position = range.lowerBound + done + written
        let count = pwrite(descriptor, bytes.baseAddress! + written, bytes.count - written, off_t(position))
        if count < 0 {
          if errno == EINTR { continue }
          throw FormatsError(FileError(cannot: "write", path: dataPath, errorNumber: errno))
        }
        written += count
      }
      state.done[piece.chunk] = done + bytes.count
      if done + bytes.count == range.count || done + bytes.count - state.noted[piece.chunk] >= Self.noteInterval {
        try Self.note(piece.chunk, &state)
      }
      return true
    }
  }

  /// Writes down what a chunk holds, when the connection that fed it has ended.
  func note(_ chunk: Int, generation: Int) throws {
    try state.withLock { state in
      if state.generation == generation, state.noted[chunk] != state.done[chunk] { try Self.note(chunk, &state) }
    }
  }

  private static func note(_ chunk: Int, _ state: inout State) throws {
    try FormatsError.wrappingFile { () throws(FileError) in
      try state.journal.note(chunk: chunk, done: state.done[chunk])
    }
    state.noted[chunk] = state.done[chunk]
  }

  /// Compares the entity tag of an answer with the one that is known; false if the file was changed in between.
  func accepts(etag: String, for piece: Piece) throws -> Bool {
    try state.withLock { state in
      guard state.generation == piece.generation, let known = state.etag else {
        if state.generation == piece.generation, !etag.contains("\n") {
          state.etag = etag
          try FormatsError.wrappingFile { () throws(FileError) in try state.journal.note(etag: etag) }
        }
        return true
      }
      return known == etag
    }
  }

  // MARK: Ends

  /// Forgets everything that is there and begins anew, unless somebody else did so since `generation`.
  /// - Parameter whole: whether the file can only be had in one piece from now on.
  /// - Returns: the new generation if this call began it, else nil.
  func restart(since generation: Int, whole: Bool) throws -> Int? {
    try state.withLock { state in
      guard state.generation == generation else { return nil }
      state.generation += 1
      if whole { state.chunkSize = max(1, file.size) }
      state.done = [Int](repeating: 0, count: Self.chunkCount(file.size, state.chunkSize))
      state.noted = state.done
      state.etag = nil
      state.isFinishing = false
      let identity = Self.identity(file, state.chunkSize)
      state.journal = try FormatsError.wrappingFile { () throws(FileError) in
        try DownloadJournal(path: journalPath, identity: identity)
      }
      return state.generation
    }
  }

  /// Makes the contents durable and moves them to `path` in one step.
  func move(to path: String) throws {
    guard fsync(descriptor) == 0, rename(dataPath, path) == 0 else {
      throw FormatsError(FileError(cannot: "write", path: path, errorNumber: errno))
    }
    try FormatsError.wrappingFile { () throws(FileError) in try AtomicFile.syncFolder(of: path) }
    unlink(journalPath)
  }

  /// Removes everything that there is of it.
  func delete() {
    unlink(dataPath)
    unlink(journalPath)
  }
}
