// The settings of mixtures of experts that families share.

internal import Core
internal import Networks

extension ModelSettings {
  /// A router with `num_experts_per_tok` of as many experts as the first of `keys` says that is there.
  mutating func router(experts keys: String..., scores: Router.Scores) -> Router {
    let experts = size(keys.first { object[$0] != nil } ?? keys[0])
    let chosen = size("num_experts_per_tok")
    if chosen > experts { report("'num_experts_per_tok' is \(chosen), but there are only \(experts) experts.") }
    return Router(experts: experts, chosen: min(chosen, experts), scores: scores)
  }

  /// A list of layers by their numbers; none if it is missing or null.
  mutating func layerNumbers(_ key: String) -> Set<Int> {
    guard let value = object[key], value != .null else { return [] }
    let numbers = value.array?.compactMap(\.integer) ?? []
    if value.array?.count != numbers.count { report("'\(key)' must be a list of layers' numbers, not \(value.json).") }
    return Set(numbers)
  }
}
