// Reads a configuration from layers of trees, through the `Decodable` that Swift synthesizes.
//
// Invariant: a problem does not end the reading. It is reported with its path, the default takes the place of the
// offending value, and the reading goes on, so that all problems are found at once. The keys that a type asks for are
// the keys that are allowed.

/// Thrown where reading cannot go on because there is no default; the problem is in the report already.
private struct AlreadyReported: Error {}

enum ConfigurationDecoding {
  static func decode<T: Decodable>(
    _ type: T.Type, _ layers: ConfigurationLayers, _ path: ConfigurationPath, _ report: ConfigurationReport
  ) throws -> T {
    if let scalar = ScalarKind(type) { return try decode(scalar, as: type, layers, path, report) }
    var layers = layers
    var choice: SettledChoice?
    if let type = type as? any Configuration.Type {
      let standard = defaults(of: type)
      if layers.isNull {
        let keys = standard.object?.keys ?? []
        report.problems.append(
          ConfigurationProblem(
            path: path.text, value: "null", problem: "must be an object with settings (\(keys.list)), but is null",
            source: layers.last?.source))
      }
      layers = layers.over(standard)
    } else if let type = type as? any ConfigurationChoice.Type {
      layers = layers.isNull ? layers : layers.sinceNull
      choice = SettledChoice(layers, among: choices(of: type), at: path, report)
      if choice == nil { return try fallBack(type as! T.Type, layers, path) }
    }
    let frame = ConfigurationFrame()
    do {
      let result = try T(
        from: ConfigurationDecoder(layers: layers, path: path, report: report, frame: frame, choice: choice))
      frame.reportUnknownKeys(report, complete: true)
      return result
    } catch {
      if !(error is AlreadyReported) {
        report.problems.append(problem(error, type, layers, path))
      }
      frame.reportUnknownKeys(report, complete: false)
      return try fallBack(type, layers, path)
    }
  }

  /// The default value, in place of one that was refused.
  private static func fallBack<T: Decodable>(
    _ type: T.Type, _ layers: ConfigurationLayers, _ path: ConfigurationPath
  ) throws -> T {
    let defaults = layers.defaults
    guard !defaults.layers.isEmpty, defaults.layers.count < layers.layers.count else { throw AlreadyReported() }
    return try decode(type, defaults, path, ConfigurationReport())
  }

  private static func decode<T: Decodable>(
    _ scalar: ScalarKind, as type: T.Type, _ layers: ConfigurationLayers, _ path: ConfigurationPath,
    _ report: ConfigurationReport
  ) throws -> T {
    guard let layer = layers.last else {
      report.problems.append(
        ConfigurationProblem(path: path.text, value: nil, problem: "is missing; give \(scalar.expected)"))
      throw AlreadyReported()
    }
    if let result = scalar.read(layer) as? T { return result }
    report.problems.append(
      ConfigurationProblem(
        path: path.text, value: layer.value.inline, problem: "must be \(scalar.expected), but is \(layer.value.kind)",
        source: layer.source))
    return try fallBack(type, layers, path)
  }

  private static func problem(
    _ error: any Error, _ type: any Decodable.Type, _ layers: ConfigurationLayers, _ path: ConfigurationPath
  ) -> ConfigurationProblem {
    var text = "cannot be read: \(error)"
    if let cases = allCases(of: type) {
      let name = layers.last?.value.string ?? ""
      text = "unknown choice; \(Suggestion.text(for: name, among: cases))allowed: \(cases.list)"
    } else if case DecodingError.dataCorrupted(let context)? = error as? DecodingError {
      text = context.debugDescription
    }
    return ConfigurationProblem(
      path: path.text, value: layers.last?.value.inline, problem: text, source: layers.last?.source)
  }

  /// The names of an enum without payload.
  private static func allCases(of type: Any.Type) -> [String]? {
    func names<T: CaseIterable>(_ type: T.Type) -> [String] {
      type.allCases.compactMap { ($0 as? any RawRepresentable)?.rawValue as? String }
    }
    guard let type = type as? any CaseIterable.Type else { return nil }
    let result = names(type)
    return result.isEmpty ? nil : result
  }

  private static func defaults<T: Configuration>(of type: T.Type) -> JSONValue {
    ConfigurationLoader.tree(of: T()).value
  }

  private static func choices<T: ConfigurationChoice>(of type: T.Type) -> [JSONValue] {
    T.choices.map { ConfigurationLoader.tree(of: $0).value }
  }
}

/// The objects that one type reads, to find the keys that it did not ask for.
private final class ConfigurationFrame {
  final class Object {
    let layers: ConfigurationLayers
    let path: ConfigurationPath
    var asked = JSONObject()
    /// Whether any key is allowed (a dictionary).
    var isOpen = false

    init(_ layers: ConfigurationLayers, _ path: ConfigurationPath) {
      self.layers = layers
      self.path = path
    }
  }

  var objects: [Object] = []

  /// - Parameter complete: whether the type was read to its end; if not, the keys of the defaults count as asked for.
  func reportUnknownKeys(_ report: ConfigurationReport, complete: Bool) {
    for object in objects where !object.isOpen {
      if !complete {
        for key in object.layers.defaults.keys { object.asked[key] = .null }
      }
      let allowed = object.asked.keys
      for layer in object.layers.layers where layer.source != nil {
        for key in layer.value.object?.keys ?? [] where object.asked[key] == nil {
          report.problems.append(
            ConfigurationProblem(
              path: (object.path + key).text, value: nil,
              problem: "unknown key; \(Suggestion.text(for: key, among: allowed))allowed here: \(allowed.list)",
              source: layer.source))
        }
      }
    }
  }
}

private struct ConfigurationDecoder: Decoder {
  let layers: ConfigurationLayers
  let path: ConfigurationPath
  let report: ConfigurationReport
  let frame: ConfigurationFrame
  let choice: SettledChoice?

  var codingPath: [any CodingKey] { path.codingPath }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    if let choice {
      return KeyedDecodingContainer(
        ChoiceContainer<Key>(choice: choice, path: path, report: report, frame: frame))
    }
    return KeyedDecodingContainer(
      KeyedContainer<Key>(try objects(of: layers, path), path, report, frame, isPayload: false))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard let layer = layers.last, let elements = layer.value.array else { throw mismatch("a list", layers, path) }
    return UnkeyedContainer(elements: elements, source: layer.source, path: path, report: report)
  }

  func singleValueContainer() -> any SingleValueDecodingContainer {
    SingleContainer(
      layers: choice.map { ConfigurationLayers([.init(value: .string($0.name), source: nil)]) } ?? layers,
      path: path, report: report)
  }

  /// The layers that are objects; the others are reported.
  fileprivate func objects(of layers: ConfigurationLayers, _ path: ConfigurationPath) throws -> ConfigurationLayers {
    var result = layers
    result.layers.removeAll { $0.value.object == nil }
    for layer in layers.layers where layer.value.object == nil {
      report.problems.append(
        ConfigurationProblem(
          path: path.text, value: layer.value.inline,
          problem: "must be an object with settings (\(result.keys.list)), but is \(layer.value.kind)",
          source: layer.source))
    }
    return result
  }

  fileprivate func mismatch(_ expected: String, _ layers: ConfigurationLayers, _ path: ConfigurationPath) -> any Error {
    let layer = layers.last
    report.problems.append(
      ConfigurationProblem(
        path: path.text, value: layer?.value.inline,
        problem: layer.map { "must be \(expected), but is \($0.value.kind)" } ?? "is missing; give \(expected)",
        source: layer?.source))
    return AlreadyReported()
  }
}

extension ConfigurationDecoder {
  private struct KeyedContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let object: ConfigurationFrame.Object
    let report: ConfigurationReport
    let frame: ConfigurationFrame
    /// Whether this is the payload of a choice.
    let isPayload: Bool

    init(
      _ layers: ConfigurationLayers, _ path: ConfigurationPath, _ report: ConfigurationReport,
      _ frame: ConfigurationFrame, isPayload: Bool
    ) {
      object = ConfigurationFrame.Object(layers, path)
      frame.objects.append(object)
      self.report = report
      self.frame = frame
      self.isPayload = isPayload
    }

    var codingPath: [any CodingKey] { object.path.codingPath }

    var allKeys: [Key] {
      object.isOpen = true
      return object.layers.keys.compactMap { Key(stringValue: $0) }
    }

    /// What the layers say about a key, which is thereby allowed.
    private func ask(_ key: Key) -> (ConfigurationLayers, ConfigurationPath) {
      if isPayload, key.stringValue == unlabelledPayload {
        object.isOpen = true
        return (object.layers, object.path)
      }
      object.asked[key.stringValue] = .null
      return (object.layers.member(key.stringValue), object.path + key.stringValue)
    }

    func contains(_ key: Key) -> Bool { !ask(key).0.layers.isEmpty }

    func decodeNil(forKey key: Key) -> Bool { ask(key).0.isNull }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
      let (layers, path) = ask(key)
      return try ConfigurationDecoding.decode(type, layers, path, report)
    }

    private func decoder(_ key: Key) -> ConfigurationDecoder {
      let (layers, path) = ask(key)
      return ConfigurationDecoder(layers: layers, path: path, report: report, frame: frame, choice: nil)
    }

    func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
      try decoder(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
      try decoder(key).unkeyedContainer()
    }

    func superDecoder() -> any Decoder {
      ConfigurationDecoder(
        layers: object.layers.member("super"), path: object.path + "super", report: report, frame: frame, choice: nil)
    }

    func superDecoder(forKey key: Key) -> any Decoder { decoder(key) }
  }

  /// The one key of a settled choice.
  private struct ChoiceContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let choice: SettledChoice
    let path: ConfigurationPath
    let report: ConfigurationReport
    let frame: ConfigurationFrame

    var codingPath: [any CodingKey] { path.codingPath }
    var allKeys: [Key] { Key(stringValue: choice.name).map { [$0] } ?? [] }

    private var payload: ConfigurationDecoder {
      ConfigurationDecoder(
        layers: choice.payload, path: path + choice.name, report: report, frame: frame, choice: nil)
    }

    func contains(_ key: Key) -> Bool { key.stringValue == choice.name }
    func decodeNil(forKey key: Key) -> Bool { false }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
      try ConfigurationDecoding.decode(type, choice.payload, path + choice.name, report)
    }

    func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
      KeyedDecodingContainer(
        KeyedContainer<Nested>(choice.payload, path + choice.name, report, frame, isPayload: true))
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
      try payload.unkeyedContainer()
    }

    func superDecoder() -> any Decoder { payload }
    func superDecoder(forKey key: Key) -> any Decoder { payload }
  }

  private struct UnkeyedContainer: UnkeyedDecodingContainer {
    let elements: [JSONValue]
    let source: String?
    let path: ConfigurationPath
    let report: ConfigurationReport

    var codingPath: [any CodingKey] { path.codingPath }
    var count: Int? { elements.count }
    var isAtEnd: Bool { currentIndex == elements.count }
    var currentIndex = 0

    private mutating func next() throws -> (ConfigurationLayers, ConfigurationPath) {
      let place = path + String(currentIndex)
      guard !isAtEnd else {
        report.problems.append(
          ConfigurationProblem(
            path: path.text, value: JSONValue.array(elements).inline,
            problem: "has \(elements.count) elements, which is too few", source: source))
        throw AlreadyReported()
      }
      defer { currentIndex += 1 }
      return (ConfigurationLayers([.init(value: elements[currentIndex], source: source)]), place)
    }

    mutating func decodeNil() -> Bool {
      guard !isAtEnd, elements[currentIndex] == .null else { return false }
      currentIndex += 1
      return true
    }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
      let (layers, path) = try next()
      return try ConfigurationDecoding.decode(type, layers, path, report)
    }

    mutating func superDecoder() throws -> any Decoder {
      let (layers, path) = try next()
      return ConfigurationDecoder(
        layers: layers, path: path, report: report, frame: ConfigurationFrame(), choice: nil)
    }

    mutating func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> {
      try superDecoder().container(keyedBy: type)
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
      try superDecoder().unkeyedContainer()
    }
  }

  private struct SingleContainer: SingleValueDecodingContainer {
    let layers: ConfigurationLayers
    let path: ConfigurationPath
    let report: ConfigurationReport

    var codingPath: [any CodingKey] { path.codingPath }

    func decodeNil() -> Bool { layers.isNull }

    func decode<T: Decodable>(_ type: T.Type) throws -> T {
      try ConfigurationDecoding.decode(type, layers, path, report)
    }
  }
}
