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
  /// The type of hidden states between products.
  public let activations: ElementType
  /// Parameters that are computed with as they are stored, by name.
  private let stored: [String: StoredForm]

  private struct Entry {
    var parameter: Parameter
    var master: Tensor
    var working: Tensor?
    /// What the model is given.
    var value: Tensor
  }

  private struct State {
    var order: [String] = []
    var entries: [String: Entry] = [:]
    /// Nil: nobody asked.
    var uses: WeightUses?

    mutating func add(_ entry: Entry) -> Tensor {
      order.append(entry.parameter.name)
      entries[entry.parameter.name] = entry
      return entry.value
    }
  }

  private let state = Mutex(State())

  /// - Precondition: `compute` is float32, bfloat16 or float64.
  public init(compute: ElementType = .float32) {
    precondition(
      compute == .float32 || compute == .bfloat16 || compute == .float64,
      "models compute in float32, bfloat16 or float64, not \(compute)")
    self.compute = compute
    activations = compute
    stored = [:]
  }

  /// Parameters that are computed with as files hold them: for running a model, not for training it.
  ///
  /// - Parameters:
  ///   - stored: by the parameters' names. Vectors (biases, norms) are float32 in any case, and so is what is not named here.
  ///   - activations: the type of hidden states, float32 or bfloat16.
  public init(stored: [String: StoredForm], activations: ElementType = .float32) {
    compute = .float32
    self.activations = activations
    self.stored = stored
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

  /// The input of programs that stands for a parameter: the working copy if there is one, else the master, or the stored form.
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

  /// What the linear maps and norms that `body` applies work on: for calibration.
  package func recordingUses(_ body: () -> Void) -> WeightUses {
    state.withLock { $0.uses = WeightUses() }
    body()
    return state.withLock { state in
      defer { state.uses = nil }
      return state.uses!
    }
  }

  fileprivate func record(_ change: (inout WeightUses) -> Void) {
    state.withLock { if $0.uses != nil { change(&$0.uses!) } }
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
        return known.value
      }
      if let form = stored[parameter.name], parameter.role != .vector {
        let placeholder = Tensor.input(parameter.name, form.type(parameter.shape))
        return state.add(
          Entry(parameter: parameter, master: placeholder, working: nil, value: form.value(of: placeholder)))
      }
      let master = compute == .float64 ? ElementType.float64 : .float32
      let placeholder = Tensor.input(parameter.name, TensorType(master, parameter.shape))
      let working: Tensor? =
        compute == .bfloat16 && parameter.role != .vector
        ? .input(parameter.name, TensorType(.bfloat16, parameter.shape)) : nil
      return state.add(
        Entry(parameter: parameter, master: placeholder, working: working, value: working ?? placeholder))
    }
  }
}

/// A place in the tree of a model's parameter names.
public struct Weights: Sendable {
  /// What is added to a linear map's result: given the name of its weight and what it is applied to, [..., inputs]; nil:
  /// nothing.
  package typealias Addition = @Sendable (_ weight: String, _ x: Tensor) -> Tensor?

  /// Names from the root to here, joined by dots.
  public let path: String
  public let store: WeightStore
  private let addition: Addition?

  init(path: String, store: WeightStore, addition: Addition? = nil) {
    (self.path, self.store, self.addition) = (path, store, addition)
  }

  /// The place `name` below this one.
  public subscript(name: String) -> Weights {
    Weights(path: path.isEmpty ? name : path + "." + name, store: store, addition: addition)
  }

  /// The same place, with something added to the results of the linear maps from here on: low-rank adapters.
  package func adding(_ addition: @escaping Addition) -> Weights {
    Weights(path: path, store: store, addition: addition)
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
  public func norm(_ width: Int, initializer: Initializer = .ones, axis: LogicalAxis = .width) -> Tensor {
    parameter("weight", [width], role: .vector, initializer: initializer, axes: [axis])
  }

  // MARK: Applied

  /// `x · weightᵀ + bias` with the linear map of this place: x [..., inputs] to [..., outputs].
  public func linear(
    _ x: Tensor, to outputs: Int, bias: Bool = false, initializer: Initializer = .normal(deviation: 0.02),
    axes: [LogicalAxis] = [.none, .none]
  ) -> Tensor {
    let weight = linear(x.shape[-1], outputs, initializer: initializer, axes: axes)
    let name = self["weight"].path
    store.record { $0.maps.append((name, x)) }
    let result = x.linear(weight, bias: bias ? self.bias(outputs, axis: axes[0]) : nil)
    guard let added = addition?(name, x) else { return result }
    return result + added
  }

  /// The rows of the table of this place, in the type of hidden states: indices [...] to [..., width].
  public func embedded(
    _ indices: Tensor, _ count: Int, _ width: Int, initializer: Initializer = .normal(deviation: 0.02)
  ) -> Tensor {
    embedding(count, width, initializer: initializer).gathered(indices).cast(store.activations)
  }

  /// `x / sqrt(mean(x²) + epsilon) * weight` with the weight of this place.
  ///
  /// - Parameter plusOne: the weight is stored less one, as in Gemma.
  public func rmsNorm(_ x: Tensor, epsilon: Double, plusOne: Bool = false, axis: LogicalAxis = .width) -> Tensor {
    let weight = norm(x.shape[-1], initializer: plusOne ? .zeros : .ones, axis: axis)
    let result = x.rmsNorm(plusOne ? weight + 1 : weight, epsilon: epsilon)
    store.record { $0.norms.append((self["weight"].path, nil, plusOne, result)) }
    return result
  }

  /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` with the parameters of this place.
  public func layerNorm(_ x: Tensor, epsilon: Double, bias: Bool = true) -> Tensor {
    let width = x.shape[-1]
    let result = x.layerNorm(norm(width), bias: bias ? self.bias(width, axis: .width) : nil, epsilon: epsilon)
    store.record { $0.norms.append((self["weight"].path, bias ? self["bias"].path : nil, false, result)) }
    return result
  }
}

/// What a pass through a model did with its weights.
package struct WeightUses {
  /// The linear maps by the names of their weights, and what they were applied to, [..., inputs].
  package fileprivate(set) var maps: [(weight: String, input: Tensor)] = []
  /// The norms by the names of their weights (stored less one or not) and biases, and what they gave.
  package fileprivate(set) var norms: [(weight: String, bias: String?, plusOne: Bool, result: Tensor)] = []
}
