// Llama 3.1's rotary scaling as ggml stores it: the numbers by which frequencies are divided, in a tensor of their own.

internal import Core

/// The parameters of rotary scaling of type llama3.
struct Llama3Scaling {
  var factor: Double
  var low: Double
  var high: Double
  /// Positions of the model that was scaled.
  var context: Int

  /// From config.json; nil if a number is missing.
  init?(_ parameters: JSONObject) {
    guard let factor = parameters["factor"]?.double, let low = parameters["low_freq_factor"]?.double,
      let high = parameters["high_freq_factor"]?.double,
      let context = parameters["original_max_position_embeddings"]?.integer, low < high
    else { return nil }
    (self.factor, self.low, self.high, self.context) = (factor, low, high, context)
  }

  /// The parameters of which divisors were made: a tensor says the factor, and the rest is as in every published model.
  init?(matching divisors: [Float], base: Double, headSize: Int) {
    guard let factor = divisors.max(), headSize == 2 * divisors.count else { return nil }
    (self.factor, low, high, context) = (Double(factor), 1, 4, 8192)
    let expected = self.divisors(base: base, headSize: headSize)
    guard expected.count == divisors.count, zip(expected, divisors).allSatisfy({ abs($0 - $1) <= 1e-4 * abs($0) })
    else { return nil }
  }

  /// One for each pair of a head's elements: 1 for short waves, `factor` for long ones, in between by the wave's length.
  func divisors(base: Double, headSize: Int) -> [Float] {
    (0..<headSize / 2).map { index in
      let wave = 2 * Double.pi * pow(base, Double(2 * index) / Double(headSize))
      let turns = Double(context) / wave
      if turns > high { return 1 }
      if turns < low { return Float(factor) }
      let share = (turns - low) / (high - low)
      return Float(1 / ((1 - share) / factor + share))
    }
  }

  var parameters: JSONObject {
    JSONObject([
      ("rope_type", "llama3"), ("factor", .real(factor)), ("low_freq_factor", .real(low)),
      ("high_freq_factor", .real(high)), ("original_max_position_embeddings", .integer(context)),
    ])
  }
}
