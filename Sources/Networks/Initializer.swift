// What a parameter holds before training.
//
// Invariant: the values depend on the seed, the parameter's name and its shape alone: not on the order in which parameters
// are made, on the number of threads, or on which rank makes them.

internal import Core
public import Tensors

/// A distribution of initial values.
public enum Initializer: Hashable, Sendable {
  case zeros
  case ones
  /// Normal with mean 0.
  case normal(deviation: Double)
  /// Uniform in [-bound, bound).
  case uniform(bound: Double)

  /// The initial values as a graph, float32.
  ///
  /// - Parameter name: chooses the random stream under the key `seed`.
  public func tensor(_ shape: Shape, seed: UInt64, name: String) -> Tensor {
    let stream = Checksum.of(Array(name.utf8))
    let key = Tensor.full(Int64(bitPattern: seed), .scalar)
    return switch self {
    case .zeros: .zeros(shape)
    case .ones: .ones(shape)
    case .normal(let deviation): Tensor.normal(shape, key: key, stream: stream) * deviation
    case .uniform(let bound): (Tensor.uniform(shape, key: key, stream: stream) - 0.5) * (2 * bound)
    }
  }

  /// The initial values, computed by the current backend.
  public func values(_ shape: Shape, seed: UInt64, name: String) throws -> TensorData {
    try evaluate([tensor(shape, seed: seed, name: name)])[0]
  }
}

/// How the maps of a residual network begin, as in GPT-2 (Radford et al., 2019).
public struct InitialWeights: Hashable, Sendable {
  /// Of tables and of maps inside a block.
  public var inside: Initializer
  /// Of the maps whose results are added to the residual stream, two in each layer: smaller, so that the sum's variance does
  /// not grow with depth.
  public var residual: Initializer

  /// - Parameters:
  ///   - deviation: the standard deviation inside a block.
  ///   - layers: of the network.
  public init(deviation: Double, layers: Int) {
    inside = .normal(deviation: deviation)
    residual = .normal(deviation: deviation / Double(2 * max(layers, 1)).squareRoot())
  }
}
