// What the defaults, the file and each override say about one place of a configuration.
//
// Invariant: layers are ordered from the weakest to the strongest; the first ones, without a source, are defaults.

/// The layers at one place.
struct ConfigurationLayers {
  struct Layer {
    var value: JSONValue
    /// Where the value was written, for messages; nil for a default.
    var source: String?
  }

  var layers: [Layer]

  init(_ layers: [Layer] = []) { self.layers = layers }

  mutating func append(_ value: JSONValue, source: String?) { layers.append(Layer(value: value, source: source)) }

  /// The strongest layer, which settles everything but an object.
  var last: Layer? { layers.last }

  var isNull: Bool { last?.value == .null }

  var defaults: ConfigurationLayers { ConfigurationLayers(layers.filter { $0.source == nil }) }

  /// What the layers say about a member.
  func member(_ key: String) -> ConfigurationLayers {
    ConfigurationLayers(
      layers.compactMap { layer in layer.value[key].map { Layer(value: $0, source: layer.source) } })
  }

  /// The keys of all layers, in order of appearance.
  var keys: [String] {
    var object = JSONObject()
    for layer in layers {
      for key in layer.value.object?.keys ?? [] { object[key] = .null }
    }
    return object.keys
  }

  /// Without what is weaker than a null, which takes away all that was said before.
  var sinceNull: ConfigurationLayers {
    guard let null = layers.lastIndex(where: { $0.value == .null }) else { return self }
    return ConfigurationLayers(Array(layers[(null + 1)...]))
  }

  /// With `defaults` below everything, unless there are defaults already.
  func over(_ defaults: JSONValue) -> ConfigurationLayers {
    var result = sinceNull
    if result.layers.first.map({ $0.source != nil }) ?? true {
      result.layers.insert(Layer(value: defaults, source: nil), at: 0)
    }
    return result
  }
}

extension [String] {
  var list: String { joined(separator: ", ") }
}

extension JSONValue {
  /// On one line and not too long, for messages.
  var inline: String {
    let text = self.json
    return text.count <= 60 ? text : text.prefix(57) + "..."
  }
}
