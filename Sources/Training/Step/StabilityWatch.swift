// Watches losses and gradient norms for spikes: running means and deviations, as a value.

/// Decides the limits beyond which a step is left out, and notices when nothing is applied any more.
package struct StabilityWatch: Sendable, Equatable {
  /// Exponentially weighted mean and variance.
  package struct Statistic: Sendable, Equatable {
    package var mean = 0.0
    package var variance = 0.0
    package var count = 0

    /// Weighs the last 50 values or so.
    package mutating func add(_ value: Double) {
      count += 1
      let weight = max(1 / Double(count), 0.02)
      let difference = value - mean
      mean += weight * difference
      variance = (1 - weight) * (variance + weight * difference * difference)
    }

    /// The value that is `threshold` deviations above the mean (a deviation being a hundredth of the mean at the least).
    func limit(_ threshold: Double) -> Double {
      mean + threshold * max(variance.squareRoot(), 0.01 * abs(mean))
    }
  }

  private let configuration: StabilityConfiguration
  package private(set) var loss = Statistic()
  package private(set) var norm = Statistic()
  /// Steps in a row that were not applied.
  package private(set) var skipped = 0

  package init(_ configuration: StabilityConfiguration) { self.configuration = configuration }

  /// As it was when a checkpoint was written.
  package init(_ configuration: StabilityConfiguration, loss: Statistic, norm: Statistic, skipped: Int) {
    self.configuration = configuration
    (self.loss, self.norm, self.skipped) = (loss, norm, skipped)
  }

  /// What loss and norm the next step may have.
  package var limits: (loss: Double, norm: Double) {
    guard configuration.skipSpikes, loss.count >= configuration.warmup else { return (.infinity, .infinity) }
    return (loss.limit(configuration.threshold), norm.limit(configuration.threshold))
  }

  /// Whether so many steps in a row were left out that the run should end.
  package var hasDiverged: Bool { skipped >= configuration.patience }

  package mutating func record(loss value: Double, norm gradient: Double, applied: Bool) {
    if applied {
      loss.add(value)
      norm.add(gradient)
      skipped = 0
    } else {
      skipped += 1
    }
  }
}
