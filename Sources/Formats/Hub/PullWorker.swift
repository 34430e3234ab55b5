// One of several tasks that fetch chunks until none is left.
//
// Invariant: what a server says is believed only as far as it agrees with the list of files: a piece never gets more
// bytes than it has, and bytes are put where they were asked for.

internal import AsyncHTTPClient
internal import Core
internal import NIOCore
internal import NIOHTTP1

struct PullWorker<Sink: EventSink<PullEvent>>: Sendable {
  let model: HubModel
  let commit: String
  let client: HubClient
  let retries: HubRetries
  let place: PullFolder
  let jobs: PullJobs
  let events: Sink

  /// A file whose contents change this often while it is fetched is given up.
  private static var mostGenerations: Int { 4 }

  func run() async throws {
    while let job = jobs.next() {
      try Task.checkCancellation()
      try await fetch(job)
      if let generation = job.file.startsFinishing() { try await finish(job.file, generation) }
    }
  }

  // MARK: Fetching

  /// Fetches a chunk, whatever it takes.
  private func fetch(_ job: PullJob) async throws {
    let path = job.file.file.path
    try await retries.run(
      "Downloading \(quoted(path))",
      remedy: "What arrived is kept; run the same command again later to go on.",
      waits: { events.receive(.waiting(path: path, reason: $0, delay: $1)) },
      { isGain in
        while let piece = job.file.piece(job.chunk, generation: job.generation), !piece.bytes.isEmpty {
          do {
            try await request(piece, of: job.file, &isGain)
          } catch {
            try job.file.note(job.chunk, generation: job.generation)
            throw try HubClient.lost(error)
          }
        }
      })
  }

  /// Asks for a piece and puts what comes into its place.
  private func request(_ piece: PartialFile.Piece, of partial: PartialFile, _ isGain: inout Bool) async throws {
    let file = partial.file
    let isWhole = piece.bytes.count == file.size
    var headers = HTTPHeaders()
    if !isWhole {
      headers.add(name: "Range", value: "bytes=\(piece.bytes.lowerBound)-\(piece.bytes.upperBound - 1)")
      if let etag = piece.etag { headers.add(name: "If-Range", value: etag) }
    }
    let response = try await client.get(client.endpoint.file(file.path, of: model, commit: commit), headers: headers)
    try checkIdentity(response, file)
    switch response.status {
    case 206 where !isWhole:
      try checkRange(response, piece, file)
    case 200:
      if let length = response.headers.first(name: "Content-Length").flatMap(Int.init), length != file.size {
        throw lie(file, "sends \(length) bytes")
      }
      guard !isWhole else { break }
      // Either the file is another one than before, or the server cannot send parts of it; a second time it is the latter.
      let isChanged = piece.etag != nil && piece.generation == 0
      try restart(
        partial, piece.generation, whole: !isChanged,
        isChanged ? "it was changed on the server" : "the server sends it only as a whole")
      return
    default:
      throw client.refusal(response, model: model, part: "file \(quoted(file.path))")
    }
    if let etag = response.headers.first(name: "ETag"), Self.isStrong(etag),
      try !partial.accepts(etag: etag, for: piece)
    {
      try restart(partial, piece.generation, whole: piece.generation > 0, "it was changed on the server")
      return
    }

    var missing = piece.bytes.count
    for try await buffer in response.body {
      guard buffer.readableBytes <= missing else { throw lie(file, "sends more") }
      missing -= buffer.readableBytes
      let isCurrent = try buffer.withUnsafeReadableBytes { try partial.write($0, to: piece) }
      guard isCurrent else { return }
      isGain = true
      events.receive(.advanced(path: file.path, bytes: buffer.readableBytes))
    }
    guard missing == 0 else { throw TemporaryFailure(reason: "the connection ended \(missing) bytes early") }
  }

  /// Only a strong entity tag says that the bytes are the same (RFC 9110, 8.8.3).
  private static func isStrong(_ etag: String) -> Bool { etag.hasPrefix("\"") && etag.utf8.count < 1024 }

  /// The hub says of large files what they are; it should agree with its own list.
  private func checkIdentity(_ response: HubResponse, _ file: HubFile) throws {
    if let other = response.hubHeaders.first(name: "X-Repo-Commit"), other.lowercased() != commit {
      throw lie(file, "answers with commit \(quoted(other)) for commit \(commit)")
    }
    if let size = response.hubHeaders.first(name: "X-Linked-Size").flatMap(Int.init), size != file.size {
      throw lie(file, "speaks of \(size) bytes")
    }
  }

  private func checkRange(_ response: HubResponse, _ piece: PartialFile.Piece, _ file: HubFile) throws {
    let text = response.headers.first(name: "Content-Range") ?? ""
    let numbers = text.split { " -/".contains($0) }
    guard numbers.count == 4, numbers[0] == "bytes", Int(numbers[1]) == piece.bytes.lowerBound,
      let last = Int(numbers[2]), piece.bytes.contains(last)
    else { throw lie(file, "sends the range \(quoted(text)) where \(piece.bytes) was asked for") }
    guard numbers[3] == "*" || Int(numbers[3]) == file.size else { throw lie(file, "has \(numbers[3]) bytes") }
  }

  private func lie(_ file: HubFile, _ what: String) -> FormatsError {
    FormatsError(
      .corrupted,
      "The hub lists \(quoted(file.path)) with \(file.size) bytes, but the server \(what). If trying again does not help, "
        + "the model on the hub is damaged.")
  }

  /// Begins a file anew, with the event, if no other task did so already.
  @discardableResult
  private func restart(
    _ partial: PartialFile, _ generation: Int, whole: Bool, _ reason: String
  ) throws -> Bool {
    guard let latest = try partial.restart(since: generation, whole: whole) else { return false }
    guard latest < Self.mostGenerations else {
      throw FormatsError(
        .corrupted,
        "\(quoted(partial.file.path)) had to be begun anew \(latest) times, because \(reason). Try again later.")
    }
    events.receive(.restarted(path: partial.file.path, reason: reason))
    jobs.requeue(partial)
    return true
  }

  // MARK: Finishing

  /// Checks a file of which everything is there, and puts it into its place.
  private func finish(_ partial: PartialFile, _ generation: Int) async throws {
    let file = partial.file
    events.receive(.checking(path: file.path))
    let digest = try await FileDigest.hexadecimal(of: partial.dataPath, as: file.digest) {
      events.receive(.checked(path: file.path, bytes: $0))
    }
    guard digest == file.digest.hexadecimal else {
      // The first time it may be the remains of an earlier process that were damaged.
      if generation == 0, try restart(partial, generation, whole: false, "its checksum is wrong") { return }
      partial.delete()
      throw FormatsError(
        .corrupted,
        "\(quoted(file.path)) arrived damaged twice: its \(file.digest) should be, but \(digest) is. What arrived of it was "
          + "deleted. Try again; if that does not help, the copy on the hub is damaged.")
    }
    try partial.move(to: place.place(file))
    events.receive(.finished(path: file.path))
  }
}
