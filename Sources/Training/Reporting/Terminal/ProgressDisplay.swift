// What a person sees of a run while it goes on, as text: the live area of two lines, and the lines that stay.
//
// Invariant: a pure value. Time, width and memory are passed in; nothing is printed here. Text from outside (samples,
// paths) is stripped of control characters, which could otherwise drive the terminal.

internal import Core

/// A piece of a line in one style.
struct StyledText {
  enum Style: String {
    case plain = ""
    case bold = "1"
    case dim = "2"
    case green = "32"
    case cyan = "36"
    case yellow = "33"
  }

  var text: String
  var style: Style

  init(_ text: String, _ style: Style = .plain) {
    self.text = text
    self.style = style
  }

  func rendered(color: Bool) -> String {
    color && style != .plain && !text.isEmpty ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }
}

/// The state of the display.
struct ProgressDisplay {
  /// Whether to use colours.
  var color: Bool

  private var run: RunDescription?
  private var last: StepRecord?
  private var evaluationLoss: Double?
  private var savedStep: Int?
  private var skipped = 0
  private var startSeconds = 0.0
  private var loss = Smoother(horizon: 20)
  private var speed = Smoother(horizon: 10)
  private var mfu = Smoother(horizon: 10)
  private var curve = Curve()

  init(color: Bool) { self.color = color }

  mutating func receive(_ event: TrainingEvent, at seconds: Double) {
    switch event {
    case .started(let description):
      self = ProgressDisplay(color: color)
      run = description
      startSeconds = seconds
    case .step(let record):
      last = record
      curve.add(loss.add(record.loss))
      _ = speed.add(record.tokensPerSecond)
      if let value = record.mfu { _ = mfu.add(value) }
      if record.skipped { skipped += 1 }
    case .evaluation(_, let loss): evaluationLoss = loss
    case .checkpoint(let step, _, _): savedStep = step
    case .sample, .warning, .finished: break
    }
  }

  // MARK: The live area

  /// The two lines that are redrawn in place, none before the first step; each fits into `width` columns.
  func live(width: Int, at seconds: Double, memory: Int?) -> [String] {
    guard let run, let last else { return [] }
    let fraction = fraction(at: seconds)
    let count = Numerals.grouped(last.step) + (run.steps > 0 ? "/\(Numerals.grouped(run.steps))" : "")
    let percent = "\(Int(fraction * 100))%"
    let left = timeLeft(at: seconds) ?? ""
    let fixed = [run.model, count, percent, left].map(\.count).reduce(0, +) + 8
    let bar = Self.bar(fraction, width: max(0, min(40, width - fixed)))
    let first =
      [StyledText(run.model, .bold), StyledText("  ")] + bar
      + [StyledText("  " + count), StyledText("  " + percent, .bold), StyledText("  " + left, .dim)]
    return [first, figures(width: width, memory: memory)].map { Self.fit($0, width: width, color: color) }
  }

  /// Loss, its curve, speed: the most important first, as many as fit.
  private func figures(width: Int, memory: Int?) -> [StyledText] {
    guard let last else { return [] }
    var items: [[StyledText]] = [
      [StyledText("loss ", .dim), StyledText(Numerals.fixed(loss.average, 4), .cyan)]
    ]
    if let evaluationLoss {
      items.append([StyledText("validation ", .dim), StyledText(Numerals.fixed(evaluationLoss, 4), .cyan)])
    }
    items.append([StyledText(curve.sparkline(width: 24), .cyan)])
    items.append([StyledText(Numerals.scaled(speed.average), .plain), StyledText(" tok/s", .dim)])
    if mfu.average.isFinite {
      items.append([StyledText("MFU ", .dim), StyledText(Numerals.fixed(mfu.average * 100, 1) + "%")])
    }
    if let memory { items.append([StyledText(Numerals.bytes(memory), .dim)]) }
    if skipped > 0 { items.append([StyledText("\(skipped) skipped", .yellow)]) }
    items.append([StyledText("lr ", .dim), StyledText(Numerals.significant(last.learningRate, 3))])
    if let savedStep { items.append([StyledText("saved at \(Numerals.grouped(savedStep))", .dim)]) }
    var line: [StyledText] = []
    var used = 0
    for item in items {
      let itemWidth = item.map(\.text.count).reduce(0, +) + (line.isEmpty ? 0 : 2)
      guard used + itemWidth <= width else { continue }
      if !line.isEmpty { line.append(StyledText("  ")) }
      line += item
      used += itemWidth
    }
    return line
  }

  /// How much of the run is done: of its steps, or of its time where only that is limited.
  private func fraction(at seconds: Double) -> Double {
    guard let run, let last else { return 0 }
    if run.steps == 0, let limit = run.seconds { return min(1, max(0, (seconds - startSeconds) / limit)) }
    return min(1, Double(last.step) / Double(max(1, run.steps)))
  }

  /// By the mean pace of this process so far, pauses for evaluation and checkpoints included, and at most until the time limit.
  private func timeLeft(at seconds: Double) -> String? {
    guard let run, let last, last.step > run.resumedFrom, seconds > startSeconds else { return nil }
    let pace = (seconds - startSeconds) / Double(last.step - run.resumedFrom)
    let untilLimit = run.seconds.map { max(0, startSeconds + $0 - seconds) } ?? .infinity
    let left = run.steps > 0 ? min(untilLimit, pace * Double(max(0, run.steps - last.step))) : untilLimit
    guard left < 1e8 else { return nil }
    return left < 59.5 ? "\(Int(left.rounded())) s left" : "\(Numerals.duration(left)) left"
  }

  private static func bar(_ fraction: Double, width: Int) -> [StyledText] {
    guard width >= 4 else { return [] }
    let halves = Int((fraction * Double(2 * width)).rounded(.down))
    let full = halves / 2
    let half = halves % 2 == 1 && full < width ? 1 : 0
    return [
      StyledText(String(repeating: "━", count: full) + (half == 1 ? "╸" : ""), .green),
      StyledText(String(repeating: "─", count: width - full - half), .dim),
    ]
  }

  private static func fit(_ line: [StyledText], width: Int, color: Bool) -> String {
    var room = width
    var result = ""
    for piece in line {
      let text = String(piece.text.prefix(room))
      room -= text.count
      result += StyledText(text, piece.style).rendered(color: color)
    }
    return result
  }

  // MARK: Lines that stay

  /// The lines that an event leaves behind for good, beside the live area.
  func lasting(_ event: TrainingEvent) -> [String] {
    switch event {
    case .started(let run):
      let facts = [
        run.model, "\(Numerals.scaled(Double(run.parameters))) parameters",
        "\(Numerals.grouped(run.tokensPerStep)) tokens a step", run.device,
      ]
      var lines = [StyledText(facts.map(Self.clean).joined(separator: " · "), .bold).rendered(color: color)]
      if run.resumedFrom > 0 { lines.append("going on from step \(Numerals.grouped(run.resumedFrom))") }
      return lines
    case .evaluation(let step, let loss):
      return [stamp(step) + "validation loss " + StyledText(Numerals.fixed(loss, 4), .cyan).rendered(color: color)]
    case .sample(let step, let text):
      return [stamp(step) + "sample"] + Self.excerpt(text).map { StyledText("  │ ", .dim).rendered(color: color) + $0 }
    case .warning(let step, let message):
      let lines = message.split(separator: "\n").map { Self.clean(String($0)) }
      return [
        stamp(step) + StyledText("warning", .yellow).rendered(color: color) + ": " + lines.joined(separator: "\n  ")
      ]
    case .finished(let summary):
      let reason =
        switch summary.reason {
        case .completed: "done"
        case .timeLimit: "time is up"
        case .interrupted: "interrupted"
        case .failed: "failed"
        }
      var facts = [
        "\(Numerals.grouped(summary.step)) steps in \(Numerals.duration(summary.seconds))",
        "loss \(Numerals.fixed(summary.loss, 4))",
      ]
      if let loss = summary.evaluationLoss { facts.append("validation \(Numerals.fixed(loss, 4))") }
      facts.append("\(Numerals.scaled(Double(summary.tokens))) tokens")
      return [
        StyledText(reason, summary.reason == .failed ? .yellow : .green).rendered(color: color) + ": "
          + facts.joined(separator: ", ")
      ]
    case .step, .checkpoint: return []
    }
  }

  /// One line about the present, for output that is not a terminal.
  func plainLine(at seconds: Double) -> String {
    guard let run, let last else { return "" }
    var facts = [
      "step \(last.step)" + (run.steps > 0 ? "/\(run.steps)" : ""), "loss \(Numerals.fixed(last.loss, 4))",
      "smoothed \(Numerals.fixed(loss.average, 4))", "lr \(Numerals.significant(last.learningRate, 3))",
      "norm \(Numerals.significant(last.gradientNorm, 3))", "\(Numerals.scaled(speed.average)) tok/s",
    ]
    if mfu.average.isFinite { facts.append("MFU \(Numerals.fixed(mfu.average * 100, 1))%") }
    if let left = timeLeft(at: seconds) { facts.append(left) }
    return facts.joined(separator: "  ")
  }

  private func stamp(_ step: Int) -> String {
    StyledText("step \(Numerals.grouped(step))  ", .dim).rendered(color: color)
  }

  /// At most ten lines of a sample.
  private static func excerpt(_ text: String) -> [String] {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { clean(String($0)) }
    return lines.count <= 10 ? lines : lines.prefix(9) + ["…"]
  }

  /// Without control characters.
  static func clean(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator: result += scalar == "\t" ? "  " : "·"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

/// A curve over the whole run in bounded memory: when it is full, neighbours are averaged.
struct Curve {
  private static let capacity = 256
  private var values: [Double] = []
  private var stride = 1
  private var pending: (sum: Double, count: Int) = (0, 0)

  mutating func add(_ value: Double) {
    guard value.isFinite else { return }
    pending = (pending.sum + value, pending.count + 1)
    guard pending.count == stride else { return }
    values.append(pending.sum / Double(stride))
    pending = (0, 0)
    guard values.count == Self.capacity else { return }
    values = Swift.stride(from: 0, to: Self.capacity, by: 2).map { (values[$0] + values[$0 + 1]) / 2 }
    stride *= 2
  }

  /// The curve as blocks of eight heights, at most `width` wide.
  func sparkline(width: Int) -> String {
    let columns = min(width, values.count)
    let heights = (0..<columns).map { column in
      let range = values[(column * values.count / columns)..<((column + 1) * values.count / columns)]
      return range.reduce(0, +) / Double(range.count)
    }
    guard let low = heights.min(), let high = heights.max() else { return "" }
    let blocks = Array("▁▂▃▄▅▆▇█")
    return String(heights.map { high > low ? blocks[min(7, Int(($0 - low) / (high - low) * 8))] : blocks[0] })
  }
}
