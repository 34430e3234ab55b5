// How a choice between kinds of settings is settled among the layers that speak of it.
//
// Invariant: the strongest layer that names a case wins; layers that name another case have no effect.

/// A choice that is settled: which case, and what the layers say about its payload.
struct SettledChoice {
  let name: String
  /// Empty for a case without payload.
  let payload: ConfigurationLayers

  /// Settles the choice among `choices`, each given as it is written with its defaults. The strongest layer that names a
  /// case wins; settings without a name go to the winner. Nil, with the reason in `report`, if there is none.
  init?(
    _ layers: ConfigurationLayers, among choices: [JSONValue], at path: ConfigurationPath, _ report: ConfigurationReport
  ) {
    let payloads = JSONObject(choices.map(Self.nameAndPayload))
    let allowed = payloads.keys.joined(separator: ", ")
    var selected: String?
    var refused = false
    for layer in layers.layers {
      func refuse(_ problem: String) {
        refused = true
        report.problems.append(
          ConfigurationProblem(path: path.text, value: layer.value.inline, problem: problem, source: layer.source))
      }
      switch layer.value {
      case .string(let name):
        if payloads[name] != nil {
          selected = name
        } else {
          refuse("unknown choice; \(Suggestion.text(for: name, among: payloads.keys))allowed: \(allowed)")
        }
      case .object(let object):
        let named = object.keys.filter { payloads[$0] != nil }
        if named.count == 1, object.count == 1 {
          selected = named[0]
        } else if !named.isEmpty {
          refuse("give one choice and nothing beside it; allowed: \(allowed)")
        }
      case .array, .number, .bool, .null:
        refuse("must be one of \(allowed), or one of them with settings, as in { \(payloads.keys.first ?? ""): { } }")
      }
    }
    guard let selected, let standard = payloads[selected] else {
      if !refused {
        report.problems.append(
          ConfigurationProblem(
            path: path.text, value: layers.last?.value.inline,
            problem: "does not say which choice; allowed: \(allowed)",
            source: layers.last?.source))
      }
      return nil
    }
    name = selected
    var payload = ConfigurationLayers([.init(value: standard, source: nil)])
    for layer in layers.layers {
      guard let object = layer.value.object else { continue }
      if let value = object[selected], object.count == 1 {
        if standard.object?.isEmpty == true, value.object?.isEmpty != true {
          report.problems.append(
            ConfigurationProblem(
              path: (path + selected).text, value: value.inline, problem: "\(selected) has no settings",
              source: layer.source))
          continue
        }
        // The defaults of the configuration replace those of the choice.
        if layer.source == nil { payload.layers.removeAll() }
        payload.append(value, source: layer.source)
      } else if object.keys.allSatisfy({ payloads[$0] == nil }) {
        payload.append(
          .object(Self.known(object, of: selected, standard, layer, choices: payloads.keys, path, report)),
          source: layer.source)
      }
    }
    self.payload = payload
  }

  /// The settings of `object`, written without the name of the choice, that the choice has; the others are reported.
  private static func known(
    _ object: JSONObject, of selected: String, _ standard: JSONValue, _ layer: ConfigurationLayers.Layer,
    choices: [String], _ path: ConfigurationPath, _ report: ConfigurationReport
  ) -> JSONObject {
    let settings = standard.object?.keys ?? []
    var result = object
    for key in object.keys where !settings.contains(key) {
      result[key] = nil
      let own = settings.isEmpty ? "\(selected) has no settings" : "settings of \(selected): \(settings.list)"
      report.problems.append(
        ConfigurationProblem(
          path: (path + key).text, value: nil,
          problem:
            "unknown key; \(Suggestion.text(for: key, among: settings + choices))choices: \(choices.list); \(own)",
          source: layer.source))
    }
    return result
  }

  private static func nameAndPayload(_ value: JSONValue) -> (String, JSONValue) {
    if case .string(let name) = value { return (name, .object(JSONObject())) }
    guard let object = value.object, let name = object.keys.first, let payload = object[name] else {
      preconditionFailure(
        "a ConfigurationChoice must be an enum with synthesized Codable, but one is written as \(value.json)")
    }
    return (name, payload)
  }
}
