// Kernels are measured on the emulator as they are on a GPU: checked, on request, and told as JSON.

import Core
import FoundationEssentials
import Testing

@Suite struct GPUBenchTests {
  private let place: Workplace

  init() throws { place = try Workplace() }

  /// The JSON objects of an output that has nothing else.
  private func lines(_ outcome: Outcome) throws -> [JSONObject] {
    #expect(outcome.code == 0, "\(outcome)")
    return try outcome.output.split(separator: "\n").map { line in
      try #require(try JSONValue(parsing: String(line)).object, "\(line)")
    }
  }

  @Test func kernelsAreCheckedAndEstimated() throws {
    let outcome = try place.run(["bench", "--device", "emulator", "--filter", "softmax", "--check", "--json"])
    let all = try lines(outcome)
    #expect(all.first?["device"]?.string == "emulated H200")
    #expect(all.first?["estimated"]?.bool == true)
    let measured = try #require(all.first { $0["name"]?.string == "softmax" })
    #expect(measured["error"] == nil, "\(outcome)")
    #expect((measured["seconds"]?.double ?? 0) > 0)
    #expect(measured["unchecked"]?.array?.isEmpty == true)
    #expect(measured["bound"]?.string?.isEmpty == false)
    // What memory gives comes first, since the goal refers to it.
    #expect(all.dropFirst().first?["name"]?.string == "memory")
  }

  @Test func requestsAreAnsweredInOrder() throws {
    let title = "rms_norm bf16 16x384 forward"
    let requests = [
      #"{"do": "list"}"#, #"{"do": "measure", "seconds": 0.1}"#, #"{"do": "prepare", "case": "\#(title)"}"#,
      #"{"do": "measure", "seconds": 0.1}"#, #"{"do": "release"}"#, #"{"do": "measure", "seconds": 0.1}"#,
      #"{"do": "check", "case": "\#(title)"}"#, "nonsense", #"{"do": "dance"}"#,
    ]
    let file = try place.write(requests.joined(separator: "\n").utf8, to: "requests")
    let script = #""$0" bench --device emulator --requests < "$1""#
    let tool = try RunningTool(["-c", script, RunningTool.executable, file], in: place.path, executable: "/bin/sh")
    let answers = try lines(tool.wait())
    try #require(answers.count == requests.count + 1)
    #expect(answers[1]["cases"]?.array?.contains { $0.object?["title"]?.string == title } == true)
    #expect(answers[2]["error"]?.string?.contains("prepared") == true)
    #expect(answers[3]["modes"]?.array?.count == 1)
    #expect((answers[4]["seconds"]?.double ?? 0) > 0)
    #expect(answers[5].isEmpty)
    #expect(answers[6]["error"] != nil)
    #expect(answers[7]["problem"] == .null)
    #expect(answers[8]["error"] != nil)
    #expect(answers[9]["error"]?.string?.contains("dance") == true)
  }

  @Test func profileWritesATrace() throws {
    let outcome = try place.run([
      "profile", "--model", "gpt2-small", "--vocabulary", "32", "--batch", "1", "--length", "8", "--device", "emulator",
      "--trace", "trace.json",
    ])
    #expect(outcome.code == 0, "\(outcome)")
    #expect(outcome.output.contains("bound by"))
    let text = try String(contentsOfFile: place.path + "/trace.json", encoding: .utf8)
    let events = try JSONValue(parsing: text).object?["traceEvents"]?.array ?? []
    let kernels = events.compactMap(\.object).filter { $0["ph"]?.string == "X" }
    #expect(kernels.count > 10)
    #expect(kernels.allSatisfy { ($0["dur"]?.double ?? 0) > 0 })
  }
}
