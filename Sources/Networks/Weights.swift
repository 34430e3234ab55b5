// How a model declares its parameters: where it names them.
//
//     let weight = weights["self_attn"]["q_proj"].linear(width, heads * size, axes: [.heads, .width])
//
// Invariant: a name stands for one parameter of one shape; mentioning it again (a tied head) gives the same tensor.

internal import Synchronization
public import Tensors

/// The parameters that a model has mentioned so far, as placeholders of a graph.
///
/// Each parameter has a *master*: a float32 placeholder, which the optimizer updates. Where the model computes in bfloat16,
/// matrices and embeddings also have a *working copy*, a bfloat16 placeholder of the same name, which the optimizer writes
/// together with the master. The model is given the working copy if there is one, else the master.
public final class WeightStore: Sendable {
  /// The type in which products are computed. With `.float64` the masters are float64 too: for checking gradients.
  public let compute: ElementType

  private struct Entry {
    var parameter: Parameter
    var master: Tensor
    var working: Tensor?
  }

  private struct State {
    var order: [String] = []
    var entries: [String: Entry] = [:]
  }

  private let state = Mutex(State())

  /// - Precondition: `compute` is float32, bfloat16 or float64.
  public init(compute: ElementType = .float32) {
    precondition(
      compute == .float32 || compute == .bfloat16 || compute == .float64,
      "models compute in float32, bfloat16 or float64, not \(compute)")
    self.compute = compute
  }

  /// Where models begin to name parameters.
  public var root: Weights { Weights(path: "", store: self) }

  /// All parameters in the order in which they were first mentioned.
  public var parameters: [Parameter] { state.withLock { state in state.order.map { state.entries[$0]!.parameter } } }

  /// The placeholder of a parameter's master.
  ///
  /// - Precondition: the parameter was mentioned.
  public func master(_ name: String) -> Tensor { entry(name).master }

  /// The placeholder of a parameter's bfloat16 copy, if it has one.
  ///
  /// - Precondition: the parameter was mentioned.
  public func working(_ name: String) -> Tensor? { entry(name).working }

  /// What the model computes with: the working copy if there is one, else the master.
  ///
  /// - Precondition: the parameter was mentioned.
  public func given(_ name: String) -> Tensor {
    let entry = entry(name)
    return entry.working ?? entry.master
  }

  /// The initial value of every parameter's master, by name; one program on the current backend.
  public func initialValues(seed: UInt64) throws -> [String: TensorData] {
    let parameters = parameters
    let values = try evaluate(parameters.map { $0.initializer.tensor($0.shape, seed: seed, name: $0.name) })
    return Dictionary(uniqueKeysWithValues: zip(parameters.map(\.name), values))
  }

  private func entry(_ name: String) -> Entry {
    let entry = state.withLock { $0.entries[name] }
    precondition(entry != nil, "no parameter is named '\(name)'")
    return entry!
  }

  fileprivate func tensor(for parameter: Parameter) -> Tensor {
    state.withLock { state in
      if let known = state.entries[parameter.name] {
        precondition(
          known.parameter.shape == parameter.shape,
          "parameter \(parameter.name) has the shape \(known.parameter.shape), not \(parameter.shape)")
        return known.working ?? known.master
      }
      let master = compute == .float64 ? ElementType.float64 : .float32
      let entry = Entry(
        parameter: parameter,
        master: .input(parameter.name, TensorType(master, parameter.shape)),
        working: compute == .bfloat16 && parameter.role != .vector
          ? .input(parameter.name, TensorType(.bfloat16, parameter.shape)) : nil)
      state.order.append(parameter.name)
      state.entries[parameter.name] = entry
      return entry.working ?? entry.master
    }
  }
}

/// A place in the tree of a model's parameter names.
public struct Weights: Sendable {
  /// Names from the root to here, joined by dots.
  public let path: String
  public let store: WeightStore

  /// The place `name` below this one.
  public subscript(name: String) -> Weights {
    Weights(path: path.isEmpty ? name : path + "." + name, store: store)
  }

  /// Declares a parameter `path.suffix`, or gives the one that was declared before.
  public func parameter(
    _ suffix: String, _ shape: Shape, role: Parameter.Role, initializer: Initializer, axes: [LogicalAxis]
  ) -> Tensor {
    store.tensor(
      for: Parameter(name: self[suffix].path, shape: shape, role: role, initializer: initializer, axes: axes))
  }

  /// The weight of a linear map: `path.weight`, [outputs, inputs].
  public func linear(
    _ inputs: Int, _ outputs: Int, initializer: Initializer = .normal(deviation: 0.02),
    axes: [LogicalAxis] = [.none, .none]
  ) -> Tensor {
    parameter("weight", [outputs, inputs], role: .matrix, initializer: initializer, axes: axes)
  }

  /// `path.bias`, zeros: [count].
  public func bias(_ count: Int, axis: LogicalAxis = .none) -> Tensor {
    parameter("bias", [count], role: .vector, initializer: .zeros, axes: [axis])
  }

  /// A table with one row an entry: `path.weight`, [count, width].
  public func embedding(
    _ count: Int, _ width: Int, initializer: Initializer = .normal(deviation: 0.02),
    axes: [LogicalAxis] = [.vocabulary, .width]
  ) -> Tensor {
    parameter("weight", [count, width], role: .embedding, initializer: initializer, axes: axes)
  }

  /// The weight of a norm, ones: `path.weight`, [width].
  public func norm(_ width: Int, axis: LogicalAxis = .width) -> Tensor {
    parameter("weight", [width], role: .vector, initializer: .ones, axes: [axis])
  }
}
