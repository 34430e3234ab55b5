// Downloads from a hub in this process that behaves badly: they end with identical bytes, or with an error that says why.

import Core
import Formats
import FoundationEssentials
import Support
import Synchronization
import Testing

@Suite struct HubPullTests {
  /// A model with a large file of many chunks, one that is a single chunk, small ones and an empty one.
  struct Model {
    let entries: [HubEntry]

    init(seed: UInt64 = 1, largeBytes: Int = 700_001) async throws {
      var generator = Generator(seed: seed)
      func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) } }
      func entry(_ path: String, _ bytes: [UInt8], isLarge: Bool) async throws -> HubEntry {
        let file = FileManager.default.temporaryDirectory.path + "/hub-\(UInt64.random(in: 0 ... .max))"
        try Data(bytes).write(to: URL(filePath: file))
        defer { try? FileManager.default.removeItem(atPath: file) }
        let kind = isLarge ? HubDigest.sha256("") : .gitBlob("")
        let digest = try await FileDigest.hexadecimal(of: file, as: kind)
        return HubEntry(path, bytes, digest: digest, isLarge: isLarge)
      }
      entries = [
        try await entry("config.json", bytes(700), isLarge: false),
        try await entry("model.safetensors", bytes(largeBytes), isLarge: true),
        try await entry("1_Pooling/con fig.json", bytes(65_000), isLarge: false),
        try await entry("tokenizer.model", bytes(40_000), isLarge: true),
        try await entry("empty.json", [], isLarge: false),
        try await entry("README.md", bytes(100), isLarge: false),
      ]
    }

    var wanted: [HubEntry] { entries.filter { $0.path != "README.md" } }
  }

  /// A folder that is removed with its test.
  final class Place: Sendable {
    let path = FileManager.default.temporaryDirectory.path + "/pull-\(UInt64.random(in: 0 ... .max))"
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func expectExactly(_ entries: [HubEntry], _ location: SourceLocation = #_sourceLocation) throws {
      for entry in entries {
        let bytes = try TestFiles.bytes("\(path)/\(entry.path)")
        #expect(bytes == entry.bytes, "\(entry.path) differs", sourceLocation: location)
      }
      let found = try FileManager.default.subpathsOfDirectory(atPath: path).filter { name in
        var isFolder = false
        return FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isFolder) && !isFolder
      }
      #expect(found.sorted() == entries.map(\.path).sorted(), sourceLocation: location)
    }
  }

  static func pull(
    _ hub: TestHub, to place: Place, environment: [String: String] = [:], attempts: Int = 6, revision: String = "main",
    connections: Int = 4, silence: Double = 10, events: MemorySink<PullEvent> = MemorySink()
  ) async throws -> HubPull.Result {
    var pull = try HubPull(
      HubModel(parsing: TestHub.model), revision: revision,
      endpoint: HubEndpoint(host: hub.host, environment: environment), folder: place.path, environment: environment)
    pull.connections = connections
    pull.chunkSize = 50_000
    pull.retries = HubRetries(attempts: attempts, firstDelay: 0.002, longestDelay: 0.02, patience: 2, silence: silence)
    return try await pull.run(events: events)
  }

  /// The error of a pull that must fail.
  static func refusal(
    _ entries: [HubEntry], place: Place = Place(), environment: [String: String] = [:], revision: String = "main",
    attempts: Int = 3, silence: Double = 10, rule: @escaping TestHub.Rule = { _, _, _ in }
  ) async throws -> FormatsError {
    let hub = TestHub(entries, rule: rule)
    return try await #require(throws: FormatsError.self) {
      try await pull(hub, to: place, environment: environment, attempts: attempts, revision: revision, silence: silence)
    }
  }

  @Test func fetchesEverythingOnce() async throws {
    let model = try await Model(), place = Place(), events = MemorySink<PullEvent>()
    let hub = TestHub(model.entries)
    let result = try await Self.pull(hub, to: place, events: events)
    try place.expectExactly(model.wanted)
    #expect(result.path == place.path && result.commit == TestHub.commit && result.files.count == 5)
    let total = model.wanted.reduce(0) { $0 + $1.bytes.count }
    #expect(events.events.contains(.planned(files: 5, bytes: total, present: 0)))
    var arrived = 0
    for case .advanced(_, let bytes) in events.events { arrived += bytes }
    #expect(arrived == total)
    #expect(hub.delivery.requests.count == 16, "15 chunks and one file")
    #expect(hub.delivery.requests.allSatisfy { $0.headers["authorization"] == nil })

    // Once more: nothing is fetched but the list.
    let requests = hub.hub.requests.count
    _ = try await Self.pull(hub, to: place)
    #expect(hub.hub.requests.count == requests + 1)
    try place.expectExactly(model.wanted)
  }

  @Test func survivesDroppedConnections() async throws {
    let model = try await Model(), place = Place(), events = MemorySink<PullEvent>()
    let random = Mutex(Generator(seed: 7))
    let hub = TestHub(model.entries) { part, _, response in
      // Every second answer is cut, the list of files too.
      random.withLock { random in
        guard Bool.random(using: &random), response.body.count > 1 else { return }
        response.dropsAfter = Int.random(in: 0..<response.body.count, using: &random)
      }
    }
    _ = try await Self.pull(hub, to: place, attempts: 12, events: events)
    try place.expectExactly(model.wanted)
    #expect(events.events.contains { if case .waiting = $0 { true } else { false } })
  }

  @Test func goesOnWhereItWas() async throws {
    let model = try await Model(), place = Place()
    // The large file's server gives 20,000 bytes of each chunk and then nothing more.
    let error = try await Self.refusal(model.entries, place: place) { part, request, response in
      guard part == .delivery, let range = request.range else { return }
      response.dropsAfter = range.lowerBound % 50_000 == 0 ? 20_000 : 0
    }
    #expect(error.code == .network && error.message.contains("model.safetensors"), "\(error)")
    #expect(!FileManager.default.fileExists(atPath: place.path + "/model.safetensors"))

    let events = MemorySink<PullEvent>()
    let hub = TestHub(model.entries)
    _ = try await Self.pull(hub, to: place, events: events)
    try place.expectExactly(model.wanted)
    let resumed = events.events.compactMap { event -> Int? in
      if case .queued("model.safetensors", _, let done) = event { done } else { nil }
    }
    let kept = try #require(resumed.first)
    #expect(kept >= 20_000, "\(resumed)")
    let ranges = hub.delivery.requests.filter { $0.range != nil }
    #expect(ranges.reduce(0) { $0 + $1.range!.count } == 700_001 - kept)
    #expect(ranges.contains { $0.range!.lowerBound % 50_000 != 0 && $0.headers["if-range"] != nil })
  }

  @Test func cancellationKeepsWhatArrived() async throws {
    let model = try await Model(), place = Place()
    let slow = TestHub(model.entries) { part, request, response in
      if part == .delivery { response.pause = 20_000 }
    }
    let events = MemorySink<PullEvent>()
    let task = Task { try await Self.pull(slow, to: place, events: events) }
    while !events.events.contains(where: { if case .advanced("model.safetensors", _) = $0 { true } else { false } }) {
      try await Task.sleep(for: .milliseconds(2))
    }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }

    let again = MemorySink<PullEvent>()
    _ = try await Self.pull(TestHub(model.entries), to: place, events: again)
    try place.expectExactly(model.wanted)
    var kept = 0
    for case .planned(_, _, let present) in again.events { kept = present }
    #expect(kept > 0)
  }

  @Test func tokensStayWithTheHub() async throws {
    let model = try await Model(), place = Place()
    let hub = TestHub(model.entries) { part, request, response in
      if part == .hub, request.headers["authorization"] != "Bearer hf_secret" {
        response = LocalResponse(401, headers: [("X-Error-Code", "GatedRepo")])
      }
    }
    _ = try await Self.pull(hub, to: place, environment: ["HF_TOKEN": " hf_secret\n"])
    try place.expectExactly(model.wanted)
    #expect(hub.delivery.requests.count > 0)
    #expect(hub.delivery.requests.allSatisfy { $0.headers["authorization"] == nil })

    // The file that the hub's own programs keep the token in.
    let home = Place(), other = Place()
    try FileManager.default.createDirectory(
      atPath: home.path + "/.cache/huggingface", withIntermediateDirectories: true)
    try Data("hf_secret\n".utf8).write(to: URL(filePath: home.path + "/.cache/huggingface/token"))
    _ = try await Self.pull(hub, to: other, environment: ["HOME": home.path])
    try other.expectExactly(model.wanted)
  }

  @Test func saysWhatToDoWhereItIsNotAllowed() async throws {
    let entries = try await Model().entries
    let gated = try await Self.refusal(entries) { _, _, response in
      response = LocalResponse(401, headers: [("X-Error-Code", "GatedRepo")])
    }
    #expect(gated.code == .denied && gated.message.contains("gated") && gated.message.contains("HF_TOKEN"))
    let forbidden = try await Self.refusal(entries, environment: ["HF_TOKEN": "x"]) { _, _, response in
      response = LocalResponse(403)
    }
    #expect(forbidden.code == .denied && forbidden.message.contains("no access"), "\(forbidden)")
    let hidden = try await Self.refusal(entries) { _, _, response in response = LocalResponse(401) }
    #expect(hidden.code == .denied && hidden.message.contains("check the name"), "\(hidden)")
    let revision = try await Self.refusal(entries, revision: "v9")
    #expect(revision.code == .missing && revision.message.contains("v9"), "\(revision)")
    let absent = try await Self.refusal(entries) { _, _, response in response = LocalResponse(404) }
    #expect(absent.code == .missing && absent.message.contains(TestHub.model), "\(absent)")
  }

  @Test func waitsAsLongAsItIsAsked() async throws {
    let model = try await Model(), place = Place(), events = MemorySink<PullEvent>()
    let hub = TestHub(model.entries) { part, request, response in
      if request.index == 1 { response = LocalResponse(429, headers: [("Retry-After", "1")]) }
      if request.index == 3 { response = LocalResponse(503) }
    }
    _ = try await Self.pull(hub, to: place, events: events)
    try place.expectExactly(model.wanted)
    #expect(events.events.contains { if case .waiting(_, _, 1) = $0 { true } else { false } })

    let error = try await Self.refusal(model.entries) { part, _, response in
      if part == .delivery { response = LocalResponse(429, headers: [("Retry-After", "3600")]) }
    }
    #expect(error.code == .network && error.message.contains("3600"), "\(error)")
    let broken = try await Self.refusal(model.entries) { _, _, response in response = LocalResponse(500) }
    #expect(broken.code == .network && broken.message.contains("HTTP 500"), "\(broken)")
  }

  @Test func expiredAddressesAreAskedForAgain() async throws {
    let model = try await Model(), place = Place()
    let hub = TestHub(model.entries) { part, request, response in
      if part == .delivery, request.index % 3 == 1 { response = LocalResponse(403) }
    }
    _ = try await Self.pull(hub, to: place)
    try place.expectExactly(model.wanted)
  }

  @Test func silenceIsALostConnection() async throws {
    let model = try await Model(), place = Place()
    let hub = TestHub(model.entries) { part, request, response in
      if part == .delivery, request.index < 2 { response.pause = 3_000_000 }
    }
    _ = try await Self.pull(hub, to: place, silence: 0.3)
    try place.expectExactly(model.wanted)
  }

  @Test func serversWithoutRangesServeToo() async throws {
    let model = try await Model(), place = Place()
    let hub = TestHub(model.entries) { part, request, response in
      if request.range != nil, part == .delivery,
        let entry = model.entries.first(where: { request.target.contains($0.digest) })
      {
        response = LocalResponse(200, body: entry.bytes[...])
      }
    }
    _ = try await Self.pull(hub, to: place)
    try place.expectExactly(model.wanted)
  }

  @Test func aChangedFileStartsOver() async throws {
    let old = try await Model(seed: 1), new = try await Model(seed: 2), place = Place()
    _ = try await Self.refusal(old.entries, place: place) { part, request, response in
      if part == .delivery { response.dropsAfter = request.index < 8 ? 1000 : 0 }
    }
    // The hub has other files now: nothing of the old ones is used.
    _ = try await Self.pull(TestHub(new.entries), to: place)
    try place.expectExactly(new.wanted)

    // The list is the same, but the server's tag changes while the file is fetched.
    let other = Place(), events = MemorySink<PullEvent>()
    let hub = TestHub(new.entries) { part, request, response in
      guard part == .delivery, request.target.contains(new.entries[1].digest), let range = request.range else { return }
      let tag = request.index < 6 ? "\"first\"" : "\"second\"", bytes = new.entries[1].bytes
      response = LocalResponse(200, headers: [("ETag", tag)], body: bytes[...])
      guard request.headers["if-range"] ?? tag == tag else { return }
      let part = bytes[range]
      let position = "bytes \(range.lowerBound)-\(range.upperBound)/\(bytes.count)"
      response = LocalResponse(206, headers: [("ETag", tag), ("Content-Range", position)], body: part)
    }
    _ = try await Self.pull(hub, to: other, events: events)
    try other.expectExactly(new.wanted)
    #expect(events.events.contains { if case .restarted("model.safetensors", _) = $0 { true } else { false } })

    // The tag never fits: the file is taken whole.
    let third = Place()
    let fickle = TestHub(new.entries) { part, request, response in
      guard let tag = response.headers.firstIndex(where: { $0.name == "ETag" }) else { return }
      response.headers[tag].value = "\"of request \(request.index)\""
    }
    _ = try await Self.pull(fickle, to: third)
    try third.expectExactly(new.wanted)

    // A finished file that was changed here is fetched again.
    try Data(repeating: 0, count: 700).write(to: URL(filePath: other.path + "/config.json"))
    _ = try await Self.pull(hub, to: other)
    try other.expectExactly(new.wanted)
  }

  @Test func damageIsFound() async throws {
    let model = try await Model(), place = Place(), events = MemorySink<PullEvent>()
    let flip: @Sendable (LocalRequest, inout LocalResponse) -> Void = { request, response in
      if request.range?.contains(123_456) == true { response.body[123_456] ^= 1 }
    }
    // Once: fetched again.
    let count = Mutex(0)
    let hub = TestHub(model.entries) { part, request, response in
      guard part == .delivery, request.range?.contains(123_456) == true else { return }
      let isFirst = count.withLock { count in
        count += 1
        return count == 1
      }
      if isFirst { flip(request, &response) }
    }
    _ = try await Self.pull(hub, to: place, events: events)
    try place.expectExactly(model.wanted)
    #expect(events.events.contains { if case .restarted("model.safetensors", _) = $0 { true } else { false } })

    // Always: an error, and nothing under the file's name.
    let other = Place()
    let error = try await Self.refusal(model.entries, place: other) { part, request, response in
      if part == .delivery { flip(request, &response) }
    }
    #expect(error.code == .corrupted && error.message.contains("model.safetensors"), "\(error)")
    #expect(!FileManager.default.fileExists(atPath: other.path + "/model.safetensors"))

    // Also in a small file.
    let small = try await Self.refusal(model.entries) { part, request, response in
      if request.target.hasSuffix("config.json"), !response.body.isEmpty { response.body[3] ^= 1 }
    }
    #expect(small.code == .corrupted && small.message.contains("config.json"), "\(small)")
  }

  @Test func liesAboutSizesAreFound() async throws {
    let model = try await Model()
    for statedSize in [700_000, 700_002, 1] {
      var entries = model.entries
      entries[1].statedSize = statedSize
      let error = try await Self.refusal(entries)
      #expect(error.message.contains("model.safetensors"), "\(error)")
    }
    for length in [10, 41_000] {
      let error = try await Self.refusal(model.entries, silence: 0.5) { part, request, response in
        if part == .delivery, request.range == nil { response.statedLength = length }
      }
      #expect(error.message.contains("tokenizer.model"), "\(error)")
    }
    let range = try await Self.refusal(model.entries) { part, request, response in
      guard let header = response.headers.firstIndex(where: { $0.name == "Content-Range" }) else { return }
      response.headers[header].value = "bytes 5-9/700001"
    }
    #expect(range.code == .corrupted && range.message.contains("bytes 5-9"), "\(range)")
    let commit = try await Self.refusal(model.entries) { _, _, response in
      guard let header = response.headers.firstIndex(where: { $0.name == "X-Repo-Commit" }) else { return }
      response.headers[header].value = "other"
    }
    #expect(commit.code == .corrupted && commit.message.contains("other"), "\(commit)")
  }

  @Test func redirectsInCirclesEnd() async throws {
    let error = try await Self.refusal(try await Model().entries) { part, request, response in
      response = LocalResponse(302, headers: [("Location", request.target)])
    }
    #expect(error.code == .network && error.message.contains("circles"), "\(error)")
    let nowhere = try await Self.refusal(try await Model().entries) { _, _, response in
      response = LocalResponse(302, headers: [("Location", "ftp://a/b")])
    }
    #expect(nowhere.code == .network && nowhere.message.contains("ftp://a/b"), "\(nowhere)")
  }

  @Test func hostilePathsWriteNothing() async throws {
    let place = Place()
    let bytes = Array("x".utf8)
    let entry = HubEntry("../escaped.json", bytes, digest: String(repeating: "a", count: 40), isLarge: false)
    let error = try await Self.refusal([entry], place: place)
    #expect(error.code == .malformed && error.message.contains("escaped.json"), "\(error)")
    #expect(!FileManager.default.fileExists(atPath: place.path))
  }

  @Test func oneProcessAtATime() async throws {
    let place = Place()
    let held = try PullFolder(path: place.path)
    let error = try await Self.refusal(try await Model().entries, place: place)
    #expect(error.code == .busy, "\(error)")
    withExtendedLifetime(held) {}
  }

  @Test func roomIsCheckedBefore() async throws {
    var entries = try await Model().entries
    entries[1].statedSize = 1 << 49
    let error = try await Self.refusal(entries)
    #expect(error.code == .diskFull && error.message.contains("512 TiB"), "\(error)")
  }

  /// What `git hash-object` and `sha256sum` say.
  @Test func digestsAreKnown() async throws {
    let place = Place()
    try FileManager.default.createDirectory(atPath: place.path, withIntermediateDirectories: true)
    let path = place.path + "/hello"
    try Data("hello\n".utf8).write(to: URL(filePath: path))
    #expect(
      try await FileDigest.hexadecimal(of: path, as: .gitBlob("")) == "ce013625030ba8dba906f756967f9e9ca394464a")
    #expect(
      try await FileDigest.hexadecimal(of: path, as: .sha256(""))
        == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")
  }
}
