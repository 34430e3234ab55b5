// Everything that happened in a run so far, as columns: what reports and summaries are drawn from.
//
// Invariant: steps rise strictly. A resume takes back whatever came after its checkpoint.

/// An average that forgets: exponential, corrected for its start (Kingma and Ba 2014), blind to numbers that are not
/// finite.
package struct Smoother: Sendable {
  private let decay: Double
  private var sum = 0.0
  private var weight = 0.0

  /// - Parameter horizon: over about how many values to average.
  package init(horizon: Double) {
    precondition(horizon >= 1, "Smoother: the horizon must be at least 1, but is \(horizon)")
    decay = 1 - 1 / horizon
  }

  /// Takes a value; gives the average so far (NaN before the first finite value).
  package mutating func add(_ value: Double) -> Double {
    if value.isFinite {
      sum = decay * sum + (1 - decay) * value
      weight = decay * weight + (1 - decay)
    }
    return average
  }

  package var average: Double { weight > 0 ? sum / weight : .nan }
}

/// The events of a run, collected.
package struct RunHistory: Sendable {
  package private(set) var run: RunDescription?
  package private(set) var steps: [StepRecord] = []
  package private(set) var evaluations: [(step: Int, loss: Double)] = []
  package private(set) var samples: [(step: Int, text: String)] = []
  package private(set) var checkpoints: [(step: Int, path: String)] = []
  package private(set) var warnings: [(step: Int, message: String)] = []
  /// How the run ended; nil while it goes on.
  package private(set) var summary: RunSummary?

  package init() {}

  package init(_ events: some Sequence<TrainingEvent>) {
    for event in events { receive(event) }
  }

  package mutating func receive(_ event: TrainingEvent) {
    switch event {
    case .started(let description):
      run = description
      summary = nil
      rewind(to: description.resumedFrom)
    case .step(let record):
      if let last = steps.last, last.step >= record.step { rewind(to: record.step - 1) }
      steps.append(record)
    case .evaluation(let step, let loss): evaluations.append((step, loss))
    case .sample(let step, let text): samples.append((step, text))
    case .checkpoint(let step, let path, _): checkpoints.append((step, path))
    case .warning(let step, let message): warnings.append((step, message))
    case .finished(let summary): self.summary = summary
    }
  }

  private mutating func rewind(to step: Int) {
    steps.removeAll { $0.step > step }
    evaluations.removeAll { $0.step > step }
    samples.removeAll { $0.step > step }
    checkpoints.removeAll { $0.step > step }
    warnings.removeAll { $0.step > step }
  }
}
