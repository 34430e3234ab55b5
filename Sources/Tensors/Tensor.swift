import Synchronization

/// A value of a computation that has not been done yet: an edge of the graph.
///
/// Arithmetic on tensors records nodes; nothing is computed until a `Program` of them is run, or a value is read
/// (`item()`, `data()`), which runs the part of the graph that it needs. A tensor is immutable, and costs an allocation.
public struct Tensor: Sendable {
  package let node: Node
  /// Which of the node's results this is.
  package let index: Int

  package init(_ node: Node, _ index: Int = 0) {
    self.node = node
    self.index = index
  }

  public var type: TensorType { index == 0 ? node.type : node.moreTypes[index - 1] }
  public var shape: Shape { type.shape }
  public var element: ElementType { type.element }
  public var rank: Int { shape.rank }
  public var count: Int { shape.count }
  /// The operation that makes this value.
  public var op: Op { node.op }
  /// What it is made from.
  public var inputs: [Tensor] { node.inputs }

  package var reference: Reference { Reference(node: node.id, index: index) }

  /// A tensor's identity in the graph.
  package struct Reference: Hashable {
    var node: Int
    var index: Int
  }
}

/// One operation in a graph, with its inputs. Identifiers rise with creation, so they are a topological order.
package final class Node: @unchecked Sendable {
  let id: Int
  let op: Op
  // Changed only in deinit, which is why the class can be Sendable.
  private(set) var inputs: [Tensor]
  let type: TensorType
  let moreTypes: [TensorType]
  /// Where in the model the node was recorded.
  let scope: Scope?
  /// Values that were read before, so that reading them again costs nothing.
  let values = Mutex<[TensorData]?>(nil)

  private static let nextID = Atomic<Int>(0)

  init(_ op: Op, _ inputs: [Tensor]) {
    id = Node.nextID.wrappingAdd(1, ordering: .relaxed).oldValue
    self.op = op
    self.inputs = inputs
    let types = op.resultTypes(inputs.map(\.type))
    type = types[0]
    moreTypes = types.count > 1 ? Array(types.dropFirst()) : []
    scope = Scope.current
  }

  var resultCount: Int { 1 + moreTypes.count }

  deinit {
    // A chain of many thousand nodes would overflow the stack if each released the next: release them in a loop.
    var released = inputs.map(\.node)
    inputs = []
    while var node = released.popLast() {
      if isKnownUniquelyReferenced(&node) {
        released += node.inputs.map(\.node)
        node.inputs = []
      }
    }
  }
}

/// A named part of a model, such as a layer: nodes remember where they were recorded, so that a program, a profile or a
/// report of the first NaN can say it.
public final class Scope: Sendable, Hashable {
  public let name: String
  public let parent: Scope?
  /// Whether the values inside may be dropped after the forward pass and computed again for the backward pass.
  let rematerialised: Bool
  /// Whether this is the gradient of its parent.
  let isBackward: Bool

  @TaskLocal package static var current: Scope?

  init(_ name: String, parent: Scope?, rematerialised: Bool, isBackward: Bool = false) {
    self.name = name
    self.parent = parent
    self.rematerialised = rematerialised
    self.isBackward = isBackward
  }

  /// All names from the outermost in, joined by dots.
  public var path: String { parent.map { $0.path + "." + name } ?? name }

  /// This scope or the nearest around it that is to be computed again.
  var region: Scope? { isBackward ? nil : rematerialised ? self : parent?.region }

  public static func == (a: Scope, b: Scope) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// Runs `body` with `name` added to the scope of what it records.
///
/// - Parameter rematerialised: keep none of the values inside for the backward pass but compute them again from the values
///   that came in: less memory for more arithmetic (Chen et al., 2016, arXiv:1604.06174).
public func withScope<Result>(
  _ name: String, rematerialised: Bool = false, _ body: () throws -> Result
) rethrows -> Result {
  try Scope.$current.withValue(Scope(name, parent: .current, rematerialised: rematerialised), operation: body)
}

// MARK: - Recording

extension Tensor {
  /// Records an operation with one result.
  package static func record(_ op: Op, _ inputs: [Tensor] = []) -> Tensor {
    Tensor(Node(op, inputs))
  }

  /// Records an operation and gives all its results.
  package static func recordAll(_ op: Op, _ inputs: [Tensor]) -> [Tensor] {
    let node = Node(op, inputs)
    return (0..<node.resultCount).map { Tensor(node, $0) }
  }

  private static let nextInput = Atomic<Int>(0)

  /// A placeholder: a value that is given when a program is run.
  public static func input(_ name: String, _ type: TensorType) -> Tensor {
    let id = nextInput.wrappingAdd(1, ordering: .relaxed).oldValue
    return record(.input(Input(id: id, name: name, type: type)))
  }

  // MARK: Constants

  /// `value` everywhere.
  public static func full(_ value: Double, _ shape: Shape, _ element: ElementType = .float32) -> Tensor {
    record(.constant(.fill(.float(value), TensorType(element, shape))))
  }

  /// `value` everywhere, exact for 64-bit integers.
  public static func full(_ value: Int64, _ shape: Shape, _ element: ElementType = .int64) -> Tensor {
    record(.constant(.fill(.integer(value), TensorType(element, shape))))
  }

  public static func zeros(_ shape: Shape, _ element: ElementType = .float32) -> Tensor { full(0.0, shape, element) }
  public static func ones(_ shape: Shape, _ element: ElementType = .float32) -> Tensor { full(1.0, shape, element) }

  /// A number as a tensor of shape [].
  public init(_ value: Double, _ element: ElementType = .float32) {
    self = .full(value, .scalar, element)
  }

  /// The array's memory is used as it is: it must not be written to while a graph refers to it.
  public init(_ data: TensorData) {
    self = .record(.constant(.data(data)))
  }

  public init(_ values: [Float], shape: Shape? = nil) {
    self.init(TensorData(values, shape: shape ?? [values.count]))
  }

  public init(_ values: [Int32], shape: Shape? = nil) {
    self.init(TensorData(values, shape: shape ?? [values.count]))
  }

  /// 0, 1, 2, ... along `axis` of a tensor of `shape`.
  public static func iota(_ shape: Shape, axis: Int = -1, _ element: ElementType = .int32) -> Tensor {
    record(.iota(TensorType(element, shape), axis: shape.normalized(axis: axis)))
  }

  // MARK: Random numbers

  /// Uniform in [0, 1). The same `key` (int64 scalar) and `stream` always give the same numbers.
  public static func uniform(
    _ shape: Shape, key: Tensor, stream: UInt64 = 0, _ element: ElementType = .float32
  ) -> Tensor {
    record(.random(.uniform, TensorType(element, shape), stream: stream), [key])
  }

  /// Normal with mean 0 and variance 1.
  public static func normal(
    _ shape: Shape, key: Tensor, stream: UInt64 = 0, _ element: ElementType = .float32
  ) -> Tensor {
    record(.random(.normal, TensorType(element, shape), stream: stream), [key])
  }

  /// 32 random bits in each element: int32 as they are, int64 non-negative.
  public static func randomBits(
    _ shape: Shape, key: Tensor, stream: UInt64 = 0, _ element: ElementType = .int64
  ) -> Tensor {
    record(.random(.bits, TensorType(element, shape), stream: stream), [key])
  }
}
