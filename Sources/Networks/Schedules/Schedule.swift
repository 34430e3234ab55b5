// How the learning rate changes over a run.
//
// Invariant: a pure function of the step, so that a resumed run goes on with the rates of an uninterrupted one. Steps count
// from 1; step `total` is the last.

public import Core

/// A warm-up, then a course, as factors on a peak learning rate.
public struct Schedule: Configuration, Hashable {
  /// What follows the warm-up.
  public enum Course: ConfigurationChoice, Hashable {
    /// The peak to the end.
    case constant
    /// In a straight line to `final` times the peak.
    case linear(final: Double)
    /// Along half a cosine to `final` times the peak: Loshchilov and Hutter (2017), arXiv:1608.03983.
    case cosine(final: Double)
    /// The peak, then in the last `share` of the run in a straight line to `final` times it: Hu et al., MiniCPM (2024),
    /// arXiv:2404.06395.
    case stable(share: Double, final: Double)

    public static let choices: [Course] = [
      .constant, .linear(final: 0), .cosine(final: 0.1), .stable(share: 0.2, final: 0),
    ]
  }

  /// The highest learning rate.
  public var peak = 1e-3
  /// Over how many steps the rate rises from 0.
  public var warmup = 0
  public var course = Course.cosine(final: 0.1)

  public init() {}

  public init(peak: Double, warmup: Int = 0, course: Course = .constant) {
    self.peak = peak
    self.warmup = warmup
    self.course = course
  }

  public func problems() -> [ConfigurationProblem] {
    check(peak >= 0 && peak.isFinite, "peak", peak, "must be 0 or a positive number")
    check(warmup >= 0, "warmup", warmup, "must not be negative")
    switch course {
    case .constant: []
    case .linear(let final), .cosine(let final): check(final >= 0, "course.final", final, "must not be negative")
    case .stable(let share, let final):
      check(share >= 0 && share <= 1, "course.stable.share", share, "must be from 0 to 1")
      check(final >= 0, "course.stable.final", final, "must not be negative")
    }
  }

  /// The learning rate of step `step`, counted from 1, of a run of `total` steps.
  public func rate(at step: Int, of total: Int) -> Double {
    if step < warmup { return peak * Double(max(step, 0)) / Double(warmup) }
    let rest = Double(max(total - warmup, 1))
    let progress = min(max(Double(step - warmup) / rest, 0), 1)
    switch course {
    case .constant: return peak
    case .linear(let final): return peak * (1 + (final - 1) * progress)
    case .cosine(let final): return peak * (final + (1 - final) * (1 + cos(.pi * progress)) / 2)
    case .stable(let share, let final):
      let start = 1 - min(Double(total) * share / rest, 1)
      return progress <= start ? peak : peak * (1 + (final - 1) * (progress - start) / (1 - start))
    }
  }
}
