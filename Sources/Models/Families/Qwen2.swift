// Qwen 2 and 2.5: Yang et al. (2024), arXiv:2407.10671, arXiv:2412.15115: Llama with biases on queries, keys and values.

internal import Core
internal import Networks

extension ModelFamily {
  static let qwen2 = ModelFamily(types: ["qwen2"]) { settings in
    var attention = settings.selfAttention()
    attention.inputBias = true
    let feedForward = settings.gatedFeedForward()
    let rotary = settings.rotary(size: attention.headSize)
    let windows = settings.qwenWindows()
    return settings.decoder { index in
      attention.window = windows[index]
      return Decoder.Layer(attention: attention, feedForward: feedForward, rotary: rotary)
    }
  }
}

extension ModelSettings {
  /// How far each layer of Qwen's models sees: if `use_sliding_window`, layers from `max_window_layers` on have windows.
  mutating func qwenWindows() -> [Int?] {
    fill(["sliding_window": 4096, "max_window_layers": 28])
    guard flag("use_sliding_window", default: false) else { return localLayers { _ in false }.map { _ in nil } }
    let first = count("max_window_layers")
    return windows { $0 >= first }
  }
}
