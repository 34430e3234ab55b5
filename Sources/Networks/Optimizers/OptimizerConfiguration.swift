// The optimizers that a run can choose from: one visible list.

public import Core

/// Which optimizer, with its settings.
public enum OptimizerConfiguration: ConfigurationChoice, Hashable {
  case adamW(AdamWOptimizer)
  case muon(MuonOptimizer)
  case sgd(SGDOptimizer)

  /// One value of each case with its defaults.
  public static let choices: [OptimizerConfiguration] = [.adamW(.init()), .muon(.init()), .sgd(.init())]

  /// The rule itself.
  public var optimizer: any Optimizer {
    switch self {
    case .adamW(let optimizer): optimizer
    case .muon(let optimizer): optimizer
    case .sgd(let optimizer): optimizer
    }
  }
}
