// The terminal and the report, by their text.

internal import Core
internal import FoundationEssentials
internal import Synchronization
internal import Testing
internal import Training

@Suite struct DisplayTests {
  /// Collects what a sink writes.
  private final class Output: Sendable {
    private let text = Mutex("")
    func write(_ piece: String) { text.withLock { $0 += piece } }
    var all: String { text.withLock { $0 } }
  }

  /// The screen of a terminal that knows as much as the display uses: line feeds, carriage returns, cursor up, and
  /// erasing to the end of the line or the screen; colours are ignored.
  private struct Screen {
    var lines: [[Character]] = [[]]
    var row = 0
    var column = 0
    var widest = 0

    mutating func write(_ text: String) {
      var rest = text.unicodeScalars[...]
      while let scalar = rest.popFirst() {
        switch scalar {
        case "\r": column = 0
        case "\n":
          row += 1
          column = 0
          if row == lines.count { lines.append([]) }
        case "\u{1B}":
          #expect(rest.popFirst() == "[")
          var argument = ""
          while let digit = rest.first, digit.properties.numericType != nil || digit == ";" {
            argument.unicodeScalars.append(digit)
            rest.removeFirst()
          }
          switch rest.popFirst() {
          case "A": row -= Int(argument) ?? 1
          case "K": lines[row] = Array(lines[row].prefix(column))
          case "J":
            lines[row] = Array(lines[row].prefix(column))
            lines = Array(lines.prefix(row + 1))
          case "m": break
          default: Issue.record("an escape sequence that the test does not know")
          }
        default:
          while lines[row].count <= column { lines[row].append(" ") }
          lines[row][column] = Character(scalar)
          column += 1
          widest = max(widest, column)
        }
      }
    }

    var text: String { lines.map { String($0) }.joined(separator: "\n") }
  }

  private func play(_ mode: TerminalSink.Mode, width: Int = 100, steps: Int = 200) -> (Screen, String) {
    let output = Output()
    let clock = ManualClock()
    let sink = TerminalSink(mode: mode, clock: clock, write: output.write, width: { width })
    sink.receive(.started(FakeRun.description(steps: steps)))
    for step in 1...steps {
      clock.advance(by: 0.05)
      sink.receive(.step(FakeRun.step(step, skipped: step == 3)))
      if step == steps / 2 {
        sink.receive(.evaluation(step: step, loss: 2.75))
        sink.receive(.sample(step: step, text: "Once\nupon \u{1B}[2J"))
        sink.receive(.checkpoint(step: step, path: "checkpoints/\(step)", seconds: 0.1))
      }
    }
    let beforeEnd = output.all
    sink.receive(
      .finished(
        RunSummary(reason: .completed, step: steps, loss: 2.0, evaluationLoss: 2.75, tokens: 409_600, seconds: 10)))
    var screen = Screen()
    screen.write(beforeEnd)
    return (screen, String(output.all.dropFirst(beforeEnd.count)))
  }

  @Test(arguments: [20, 40, 60, 80, 100, 200], [true, false])
  func liveLinesFitAndStayInPlace(width: Int, color: Bool) {
    let (screen, end) = play(.live(color: color), width: width)
    let live = screen.lines.suffix(2).map { String($0) }
    #expect(live.allSatisfy { $0.count < width }, "\(live)")
    #expect(live[0].contains("gpt-<6m>"))
    #expect(live[1].contains("loss 2.0"))
    if width >= 80 {
      #expect(live[0].contains("200/200") && live[0].contains("100%"))
      #expect(live[1].contains("validation 2.7500"))
      #expect(live[1].contains("12.3k tok/s"))
      #expect(live[1].contains("█") && live[1].contains("▁"))
    }
    // One line each for start and evaluation, three for the sample, two live.
    #expect(screen.lines.count == 7, "\(screen.text)")
    #expect(screen.text.contains("│ upon ·[2J"))
    #expect(end.contains("done"))
    #expect(end.contains("200 steps in 10.0 s"))
    #expect(end.hasSuffix("\n"))
  }

  @Test func colourIsOptional() {
    #expect(play(.live(color: false)).1.contains("\u{1B}[32m") == false)
    #expect(play(.live(color: true)).1.contains("\u{1B}[32m"))
  }

  @Test func plainOutputIsSparse() {
    let (screen, end) = play(.plain)
    let lines = screen.text.split(separator: "\n")
    let steps = lines.filter { $0.hasPrefix("step") && $0.contains("tok/s") }
    #expect(steps.count == 2, "\(screen.text)")  // 10 seconds, one line every 5.
    #expect(steps[0].hasPrefix("step 1/200  loss 7.0000"))
    #expect(screen.text.contains("checkpoint checkpoints/100 (100 ms)"))
    #expect(end.hasPrefix("step 200/200  loss 2.0250"))
    #expect(!screen.text.contains("\u{1B}"))
  }

  @Test func aRunThatOnlyTimeLimitsShowsTheTime() {
    let clock = ManualClock()
    let output = Output()
    let sink = TerminalSink(mode: .plain, clock: clock, write: output.write, width: { 100 })
    var run = FakeRun.description(steps: 0)
    run.seconds = 40
    sink.receive(.started(run))
    for step in 1...20 {
      clock.advance(by: 0.5)
      sink.receive(.step(FakeRun.step(step)))
    }
    #expect(output.all.contains("step 1  loss"), "\(output.all)")
    #expect(
      output.all.contains("s left") && !output.all.contains(" 0 s left") && !output.all.contains("/0"), "\(output.all)")
  }

  /// The numbers that a page draws.
  private func data(of page: String) throws -> JSONValue {
    let opening = page.range(of: #"id="data">"#)
    let closing = page.range(of: "</script>")
    let start = try #require(opening).upperBound
    let end = try #require(closing).lowerBound
    return try JSONValue(parsing: String(page[start..<end]))
  }

  @Test func theReportHoldsTheRun() throws {
    let folder = try TemporaryFolder()
    let clock = ManualClock()
    let sink = ReportSink(path: folder.file("report.html"), clock: clock)
    for event in FakeRun.everyKind { sink.receive(event) }
    #expect(sink.failure == nil)
    let page = try String(decoding: Data(contentsOf: URL(filePath: folder.file("report.html"))), as: UTF8.self)
    #expect(page.contains("gpt-&lt;6m&gt;"))
    #expect(page.contains("Once upon\n&quot;a&quot; &lt;/script&gt; time"))
    #expect(!page.contains("\u{1B}"))
    for forbidden in ["http://", "https://", "src=", "@import", "url("] where forbidden != "http://" {
      #expect(page.components(of: forbidden) == (forbidden == "url(" ? 1 : 0), "\(forbidden)")
    }
    #expect(page.components(of: "http://") == page.components(of: "http://www.w3.org/2000/svg"))
    let data = try data(of: page)
    #expect(data["series"]?["step"] == [1, 2])
    #expect(data["series"]?["loss"] == [7, 4.5])
    #expect(data["evaluation"]?["loss"] == [3.25])
    #expect(data["skipped"] == [2])
    #expect(data["running"] == false)
  }

  /// Thinning keeps the extremes, and a step that was not finite leaves a hole.
  @Test func longRunsAreThinned() throws {
    var history = RunHistory([.started(FakeRun.description(steps: 100_000))])
    for step in 1...20_000 {
      var record = FakeRun.step(step)
      record.layerGradientNorms = []
      record.loss = step == 7777 ? 99 : step == 1234 ? .nan : 2
      history.receive(.step(record))
    }
    let page = Report.html(of: history, unixSeconds: 0)
    #expect(page.utf8.count < 200_000)
    let series = try data(of: page)["series"] ?? .null
    let high = series["high"]?.array?.compactMap(\.double) ?? []
    #expect(high.count == 1000)
    #expect(high.max() == 99)
    #expect(series["step"]?.array?.last == 20_000)
  }

  @Test func anEmptyRunHasAReport() {
    let page = Report.html(of: RunHistory([.started(FakeRun.description())]), unixSeconds: 0)
    #expect(page.contains("No step is done yet"))
    #expect(Report.html(of: RunHistory(), unixSeconds: 0).contains("A run"))
  }

  /// The report is written at the start, then only when the interval is over, and at the end.
  @Test func theReportIsWrittenAtIntervals() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("report.html")
    let clock = ManualClock()
    let sink = ReportSink(path: path, interval: 10, clock: clock)
    func shownSteps() throws -> Int {
      let page = try String(decoding: Data(contentsOf: URL(filePath: path)), as: UTF8.self)
      return try data(of: page)["series"]?["step"]?.array?.count ?? -1
    }
    sink.receive(.started(FakeRun.description()))
    #expect(try shownSteps() == 0)
    sink.receive(.step(FakeRun.step(1)))
    #expect(try shownSteps() == 0)
    clock.advance(by: 10)
    sink.receive(.step(FakeRun.step(2)))
    #expect(try shownSteps() == 2)
    sink.receive(.step(FakeRun.step(3)))
    #expect(try shownSteps() == 2)
    sink.receive(.finished(RunSummary(reason: .interrupted, step: 3, loss: 2, tokens: 1, seconds: 1)))
    #expect(try shownSteps() == 3)
  }

  @Test func aRunFolderIsComplete() throws {
    let folder = try TemporaryFolder()
    let recorder = try RunRecorder(folder: folder.path, resumingFrom: 0)
    for event in FakeRun.everyKind { recorder.receive(event) }
    recorder.flush()
    #expect(recorder.failure == nil)
    let resumed = try RunRecorder(folder: folder.path, resumingFrom: 2)
    resumed.receive(.started(FakeRun.description(resumedFrom: 2)))
    resumed.receive(.step(FakeRun.step(3)))
    resumed.flush()
    let page = try String(decoding: Data(contentsOf: URL(filePath: folder.file("report.html"))), as: UTF8.self)
    #expect(page.contains(#""step":[1,2,3]"#))
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    #expect(names == ["events.jsonl", "report.html", "tensorboard"])
  }
}

extension String {
  fileprivate func components(of needle: String) -> Int {
    var count = 0
    var rest = self[...]
    while let range = rest.firstRange(of: needle) {
      count += 1
      rest = rest[range.upperBound...]
    }
    return count
  }

  fileprivate func range(of needle: String) -> Range<String.Index>? { self[...].firstRange(of: needle) }
}
