// The numbers of a report: the history of a run, thinned to what a screen can show.
//
// Invariant: smoothing sees every step; thinning comes after it and keeps the lowest and the highest loss of each
// stretch, so that no spike is lost.

internal import Core

struct ReportData {
  /// More points than pixels serve nobody.
  static let maximumPoints = 1000

  let history: RunHistory
  /// When the report was written.
  let unixSeconds: Double

  /// What the script of the page draws.
  var json: JSONValue {
    [
      "updated": number(unixSeconds),
      "planned": history.run.map { number($0.steps) } ?? .null,
      "series": series,
      "evaluation": [
        "step": .array(history.evaluations.map { number($0.step) }),
        "loss": .array(history.evaluations.map { number($0.loss) }),
      ],
      "skipped": .array(history.steps.filter(\.skipped).map { number($0.step) }),
      "layers": layers,
      "running": .bool(history.summary == nil),
    ]
  }

  /// The steps in stretches of equal length.
  private var stretches: [ArraySlice<StepRecord>] {
    let count = history.steps.count
    let pieces = min(count, Self.maximumPoints)
    return (0..<pieces).map { history.steps[($0 * count / pieces)..<(($0 + 1) * count / pieces)] }
  }

  /// The smoothed loss after each step.
  private var smoothed: [Double] {
    var smoother = Smoother(horizon: max(5, min(200, Double(history.steps.count) / 100)))
    return history.steps.map { smoother.add($0.loss) }
  }

  private var series: JSONValue {
    let stretches = stretches
    let smoothed = smoothed
    func column(_ value: (ArraySlice<StepRecord>) -> Double) -> JSONValue {
      .array(stretches.map { number(value($0)) })
    }
    func mean(_ field: @escaping (StepRecord) -> Double) -> JSONValue {
      column { stretch in
        let values = stretch.map(field).filter(\.isFinite)
        return values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count)
      }
    }
    return [
      "step": .array(stretches.map { number($0.last!.step) }),
      "loss": mean(\.loss),
      "low": column { $0.map(\.loss).filter(\.isFinite).min() ?? .nan },
      "high": column { $0.map(\.loss).filter(\.isFinite).max() ?? .nan },
      "smoothed": .array(stretches.map { number(smoothed[$0.endIndex - 1]) }),
      "learningRate": mean(\.learningRate),
      "gradientNorm": mean(\.gradientNorm),
      "tokensPerSecond": mean(\.tokensPerSecond),
      "mfu": mean { $0.mfu.map { $0 * 100 } ?? .nan },
    ]
  }

  /// The gradient norm of each layer over the run, where it was recorded.
  private var layers: JSONValue {
    let recorded = history.steps.filter { !$0.layerGradientNorms.isEmpty }
    guard let names = recorded.last?.layerGradientNorms.map(\.layer) else { return .null }
    let alike = recorded.filter { $0.layerGradientNorms.map(\.layer) == names }
    let columns = min(alike.count, 160)
    let shown = (0..<columns).map { alike[($0 + 1) * alike.count / columns - 1] }
    return [
      "names": .array(names.map { .string($0) }),
      "step": .array(shown.map { number($0.step) }),
      "norms": .array(shown.map { .array($0.layerGradientNorms.map { number($0.norm) }) }),
    ]
  }

  private func number(_ value: Int) -> JSONValue { .number(JSONNumber(value)) }

  /// Six digits: nobody reads more off a curve.
  private func number(_ value: Double) -> JSONValue {
    guard value.isFinite, value != 0, value != value.rounded() else { return .number(JSONNumber(value)) }
    return .number(JSONNumber(Double(Numerals.significant(value, 6)) ?? value))
  }
}

/// The headline figures and the table of a report.
extension ReportData {
  struct Tile {
    var label: String
    var value: String
    var note: String
  }

  var tiles: [Tile] {
    guard let last = history.steps.last else { return [] }
    let seconds = history.steps.reduce(0) { $0 + ($1.seconds.isFinite ? $1.seconds : 0) }
    var tiles = [
      Tile(
        label: "Step", value: Numerals.grouped(last.step),
        note: history.run.map { "of \(Numerals.grouped($0.steps))" } ?? ""),
      Tile(
        label: "Training loss", value: Numerals.fixed(smoothed.last ?? .nan, 4),
        note: "last step \(Numerals.fixed(last.loss, 4))"),
    ]
    if let evaluation = history.evaluations.last {
      let best = history.evaluations.min { $0.loss < $1.loss } ?? evaluation
      tiles.append(
        Tile(
          label: "Validation loss", value: Numerals.fixed(evaluation.loss, 4),
          note: best.step == evaluation.step
            ? "the best so far" : "best \(Numerals.fixed(best.loss, 4)) at \(Numerals.grouped(best.step))"))
    }
    let speeds = history.steps.suffix(200).map(\.tokensPerSecond).filter(\.isFinite).sorted()
    if !speeds.isEmpty {
      let mfus = history.steps.suffix(200).compactMap(\.mfu).filter(\.isFinite).sorted()
      tiles.append(
        Tile(
          label: "Tokens per second", value: Numerals.scaled(speeds[speeds.count / 2]),
          note: mfus.isEmpty ? "median" : "\(Numerals.fixed(mfus[mfus.count / 2] * 100, 1))% of the peak"))
    }
    if let run = history.run {
      tiles.append(
        Tile(
          label: "Tokens", value: Numerals.scaled(Double(last.step) * Double(run.tokensPerStep)),
          note: "\(Numerals.grouped(run.tokensPerStep)) a step"))
    }
    tiles.append(Tile(label: "Training time", value: Numerals.duration(seconds), note: status))
    return tiles
  }

  /// How the run stands, in a few words.
  var status: String {
    switch history.summary?.reason {
    case .completed: "completed"
    case .timeLimit: "ended by its time limit"
    case .interrupted: "interrupted"
    case .failed: "failed"
    case nil: "running"
    }
  }

  /// A dozen rows spread over the run.
  var table: [[String]] {
    let smoothed = smoothed
    let count = history.steps.count
    let rows = min(count, 12)
    return (0..<rows).map { row in
      // The first and the last step are among them.
      let index = rows == 1 ? 0 : row * (count - 1) / (rows - 1)
      let record = history.steps[index]
      let evaluation = history.evaluations.last { $0.step <= record.step }
      return [
        Numerals.grouped(record.step), Numerals.fixed(record.loss, 4), Numerals.fixed(smoothed[index], 4),
        evaluation.map { Numerals.fixed($0.loss, 4) } ?? "–", Numerals.significant(record.learningRate, 3),
        Numerals.significant(record.gradientNorm, 3), Numerals.scaled(record.tokensPerSecond),
        record.mfu.map { Numerals.fixed($0 * 100, 1) + "%" } ?? "–",
      ]
    }
  }
}
