// Rotary settings: `rope_theta` and `rope_scaling` as `transformers` 4 writes them, or `rope_parameters` as 5 does, which may
// have a member for each kind of layer.

internal import Core
internal import Networks

extension ModelSettings {
  /// The rotary embedding of heads.
  ///
  /// - Parameters:
  ///   - size: of a head; `partial_rotary_factor` of it is rotated.
  ///   - kind: of layer: `full_attention` or `sliding_attention`, for families that tell them apart.
  ///   - base: where the file does not say.
  mutating func rotary(size: Int, kind: String? = nil, base: Double = 10000) -> Decoder.Rotary {
    var parameters = rotaryParameters(kind: kind)
    let base = parameters.number("rope_theta", default: number("rope_theta", default: base))
    let share = parameters.number("partial_rotary_factor", default: number("partial_rotary_factor", default: 1))
    let rotated = Int(Double(size) * share)
    if rotated <= 0 || rotated > size || rotated % 2 != 0 {
      report("'partial_rotary_factor' is \(share): \(rotated) of a head's \(size) elements cannot be rotated.")
    }
    let scaling = rotaryScaling(&parameters, rotated: rotated)
    for problem in parameters.problems { report(problem) }
    return Decoder.Rotary(
      size: max(2, min(size, rotated) & ~1), base: base, scaling: scaling,
      interleaved: flag("rope_interleaved", default: false))
  }

  private func rotaryParameters(kind: String?) -> ModelSettings {
    let given = object["rope_parameters"]?.object ?? object["rope_scaling"]?.object ?? JSONObject()
    return ModelSettings(kind.flatMap { given[$0]?.object } ?? given)
  }

  private mutating func rotaryScaling(_ p: inout ModelSettings, rotated: Int) -> RotaryScaling? {
    let kind = p.object["rope_type"] ?? p.object["type"] ?? .null
    let context = size("max_position_embeddings")
    let original = size(
      "original_max_position_embeddings", default: p.size("original_max_position_embeddings", default: context))
    switch kind.string {
    case nil, "default", "mrope": return nil
    case "linear": return .linear(factor: p.number("factor", default: 1))
    case "dynamic": return .dynamic(factor: p.number("factor", default: 1), context: context)
    case "llama3":
      return .llama3(
        factor: p.number("factor", default: 8), low: p.number("low_freq_factor", default: 1),
        high: p.number("high_freq_factor", default: 4), context: original)
    // Old files of Phi-3 say "su" or "yarn".
    case "longrope", "su",
      "yarn" where p.object["short_factor"] != nil:
      return longRope(&p, pairs: rotated / 2, original, context)
    case "yarn": return .yarn(yarn(&p, original, context))
    default:
      report(
        "rotary embedding of type \(kind.json) is not known, only default, linear, dynamic, yarn, llama3, longrope.")
      return nil
    }
  }

  private func yarn(_ p: inout ModelSettings, _ original: Int, _ context: Int) -> RotaryScaling.YaRN {
    let factor = p.number("factor", default: Double(context) / Double(original))
    let (mscale, mscaleAll) = (p.number("mscale", default: 0), p.number("mscale_all_dim", default: 0))
    func share(_ scale: Double) -> Double { RotaryScaling.YaRN.attentionFactor(factor, scale: scale) }
    let computed = mscale != 0 && mscaleAll != 0 ? share(mscale) / share(mscaleAll) : share(1)
    var result = RotaryScaling.YaRN(
      factor: factor, context: original, attentionFactor: p.number("attention_factor", default: computed))
    result.betaFast = p.number("beta_fast", default: 32)
    result.betaSlow = p.number("beta_slow", default: 1)
    result.truncates = p.flag("truncate", default: true)
    return result
  }

  private func longRope(
    _ p: inout ModelSettings, pairs: Int, _ original: Int, _ context: Int
  ) -> RotaryScaling {
    func divisors(_ key: String) -> [Double] {
      let values = p.object[key]?.array?.compactMap(\.double) ?? []
      if values.count != pairs || values.contains(where: { $0 <= 0 }) {
        p.report("'\(key)' must be a list of \(pairs) positive numbers.")
      }
      return values
    }
    let extended = Double(context) / Double(original)
    let factor = p.number("factor", default: extended)
    let computed = RotaryScaling.longRopeAttentionFactor(factor, context: original)
    return .longRope(
      short: divisors("short_factor"), long: divisors("long_factor"), context: original,
      attentionFactor: p.number("attention_factor", default: computed))
  }
}
