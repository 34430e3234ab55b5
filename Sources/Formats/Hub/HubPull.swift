// Downloading a model: several files, and several parts of large ones, at once.
//
// The order of events: list the files, choose, keep what is there already and has the right checksum, make sure that the
// rest fits, fetch it chunk by chunk, check each file, move it to its place. An end at any moment (an error, a kill, a
// power failure) leaves finished files in place and unfinished ones in the work folder, from where the next pull goes on.
//
// Invariant: a file that is in its place under its name has the checksum that the hub stated.

public import Core
internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// A download of a model from a hub.
public struct HubPull: Sendable {
  public var endpoint: HubEndpoint
  public var model: HubModel
  /// A branch, a tag or a commit.
  public var revision = "main"
  public var selection = HubSelection()
  /// The folder to put the files into.
  public var folder: String
  /// How many requests are under way at once.
  public var connections = 8
  public var retries = HubRetries()
  /// Bytes of a file that one request fetches.
  package var chunkSize = 32 << 20

  /// - Parameters:
  ///   - folder: where to put the files; nil for the model's folder among the user's caches.
  ///   - environment: for the folder and the token (see `HubEndpoint`).
  public init(
    _ model: HubModel, revision: String = "main", endpoint: HubEndpoint, folder: String? = nil,
    environment: [String: String]
  ) throws(FormatsError) {
    self.model = model
    self.revision = revision
    self.endpoint = endpoint
    if let folder {
      self.folder = folder
    } else {
      self.folder = try PullFolder.standard(model, revision: revision, environment: environment)
    }
  }

  /// What was pulled.
  public struct Result: Sendable {
    /// What to open: the folder, or the file if it is the only one that was chosen.
    public let path: String
    public let commit: String
    public let files: [HubFile]
  }

  /// Downloads what is not there yet.
  ///
  /// Throws `FormatsError` with what to do; `CancellationError` if the task was cancelled, after which another call goes on
  /// where this one was.
  public func run(events: some EventSink<PullEvent>) async throws -> Result {
    precondition(connections > 0 && chunkSize > 0, "HubPull with \(connections) connections, chunks of \(chunkSize)")
    return try await HubClient.with(endpoint, connections: connections, retries: retries) { client in
      var retries = retries
      // Where nothing is under way yet, a mistyped address should not take minutes to be found out.
      retries.attempts = min(retries.attempts, 4)
      let snapshot = try await retries.run(
        "Reading the list of files of \(model.name)",
        remedy: "Check the connection, and the address of the hub, \(endpoint.host) (--host or HF_ENDPOINT).",
        waits: { events.receive(.waiting(path: "", reason: $0, delay: $1)) },
        { _ in try await client.snapshot(of: model, revision: revision) })
      let files = try selection.files(of: snapshot, model: model)
      try await fetch(files, of: snapshot, client, events)
      let path = files.count == 1 && selection.file ?? model.tag != nil ? "\(folder)/\(files[0].path)" : folder
      return Result(path: path, commit: snapshot.commit, files: files)
    }
  }

  private func fetch(
    _ files: [HubFile], of snapshot: HubSnapshot, _ client: HubClient, _ events: some EventSink<PullEvent>
  ) async throws {
    let place = try PullFolder(path: folder)
    // The small ones first: what is wrong with a model shows early.
    var missing: [HubFile] = []
    for file in files where try await !isPresent(file, place, events) { missing.append(file) }
    missing.sort { ($0.size, $0.path) < ($1.size, $1.path) }
    let partials = try missing.map { try PartialFile($0, folder: place.workPath, chunkSize: chunkSize) }
    let total = files.reduce(0) { $0 + $1.size }
    let remaining = partials.reduce(0) { $0 + $1.file.size - $1.doneBytes }
    try place.reserve(remaining)
    for partial in partials { try partial.extend() }
    events.receive(.planned(files: files.count, bytes: total, present: total - remaining))
    for partial in partials {
      events.receive(.queued(path: partial.file.path, bytes: partial.file.size, done: partial.doneBytes))
    }

    let jobs = PullJobs(partials)
    let worker = PullWorker(
      model: model, commit: snapshot.commit, client: client, retries: retries, place: place, jobs: jobs, events: events)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<connections { group.addTask { try await worker.run() } }
      try await group.waitForAll()
    }
    try Task.checkCancellation()
    place.removeWork()
  }

  /// Whether a file is there already, whole and unchanged.
  private func isPresent(_ file: HubFile, _ place: PullFolder, _ events: some EventSink<PullEvent>) async throws -> Bool
  {
    guard place.size(of: file) == file.size else { return false }
    events.receive(.queued(path: file.path, bytes: file.size, done: file.size))
    events.receive(.checking(path: file.path))
    let digest = try await FileDigest.hexadecimal(of: "\(place.path)/\(file.path)", as: file.digest) {
      events.receive(.checked(path: file.path, bytes: $0))
    }
    guard digest == file.digest.hexadecimal else {
      events.receive(.restarted(path: file.path, reason: "the file that is there has other contents"))
      return false
    }
    events.receive(.finished(path: file.path))
    return true
  }
}

/// A chunk to fetch, of a file as it is in one generation.
struct PullJob: Sendable {
  let file: PartialFile
  let chunk: Int
  let generation: Int
}

/// The chunks that nobody fetches yet.
final class PullJobs: Sendable {
  private let queue: Mutex<[PullJob]>

  init(_ files: [PartialFile]) {
    // The first job is the last element.
    queue = Mutex(Array(files.flatMap(\.openChunks).reversed()))
  }

  func next() -> PullJob? { queue.withLock { $0.popLast() } }

  /// Queues all chunks of a file that begins anew, before everything else and instead of what was queued of it.
  func requeue(_ file: PartialFile) {
    queue.withLock { queue in
      queue.removeAll { $0.file === file }
      queue += file.openChunks.reversed()
    }
  }
}
