// Where a request's time went, as a record, a log and spans.

import Core
import FoundationEssentials
import Inference
import Serving
import Synchronization
import Testing

@Suite struct RequestRecordTests {
  private let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  private func record(_ texts: [GenerationEnd], sent: Double = 14) -> RequestRecord {
    var record = RequestRecord(
      id: "abc", trace: TraceContext(header: header, random: (1, 2, 3)), method: "POST", path: "/v1/completions",
      unixSeconds: 1_700_000_000, arrived: 10)
    (record.tenant, record.status, record.sent, record.texts) = ("ada", 200, sent, texts)
    return record
  }

  private func text(_ started: Double?, _ first: Double?, _ last: Double?) -> GenerationEnd {
    var times = RequestTimes(arrived: 10.5)
    (times.started, times.firstToken, times.lastToken, times.ended) = (started, first, last, last)
    return GenerationEnd(reason: .length, prompt: 7, cached: 4, written: 3, times: times)
  }

  @Test func phasesFollowEachOther() {
    let phases = record([text(11, 12, 13.75)]).phases
    #expect(phases.map(\.phase) == [.encode, .queue, .prefill, .decode, .send])
    #expect(phases.map { $0.end - $0.begin } == [0.5, 0.5, 1, 1.75, 0.25])
    #expect(phases.reduce(0) { $0 + $1.end - $1.begin } == 4)
    // It was cancelled in the queue; it never came to the engine; a second text took longer.
    #expect(record([text(nil, nil, nil)]).phases.map(\.phase) == [.encode, .queue])
    #expect(record([]).phases.map { $0.end - $0.begin } == [4])
    #expect(record([text(11, 12, 12.5), text(11.5, 12.25, 13)]).phases.map(\.end) == [10.5, 11, 12, 13, 14])
  }

  @Test func logsAreLinesOfJSONAndWords() throws {
    let path = FileManager.default.temporaryDirectory.path + "/tachornis-log-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let log = try RequestLog(path: path)
    let found = Bottleneck(kind: .queueGrowing, message: "The queue grew.")
    for event in [
      ServiceEvent.answered(record([text(11, 12, 13.75)])), .bottleneckBegan(found),
      .bottleneckEnded(.queueGrowing, seconds: 12.34),
    ] { log.receive(event) }
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
      try JSONValue(parsing: String($0))
    }
    #expect(lines.count == 3 && lines[0]["tenant"] == "ada" && lines[0]["prompt_tokens"] == 7)
    #expect(lines[0]["phases"]?["decode"]?.double == 1.75 && lines[0]["first_token"]?.double == 2)
    #expect(lines[1]["kind"] == "queue_growing" && lines[2]["seconds"]?.double == 12.3)

    let said = Mutex("")
    let slow = SlowLog(threshold: 4) { line in said.withLock { $0 += line } }
    slow.receive(.answered(record([text(11, 12, 13.75)], sent: 13.9)))
    slow.receive(.answered(record([text(11, 12, 13.75)])))
    #expect(
      said.withLock { $0 }
        == "Slow: POST /v1/completions abc took 4.0 s: encode 500 ms, queue 500 ms, prefill 1.0 s, decode 1.8 s (44 %), "
        + "send 250 ms; 7 tokens read (4 cached), 3 written\n")
  }

  @Test(arguments: [
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true),
    ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more", true),
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
    ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
    ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
    ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
    ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false), ("", false), ("00-1-2-3", false),
  ])
  func tracesOfOthersGoOn(_ header: String, isValid: Bool) {
    let context = TraceContext(header: header, random: (1, 2, 3))
    #expect((context.parentID == "b7ad6b7169203331") == isValid)
    #expect(context.traceID == (isValid ? "0af7651916cd43dd8448eb211c80319c" : "00000000000000010000000000000002"))
    #expect(context.isSampled != isValid && context.spanID == "0000000000000003")
  }
}
