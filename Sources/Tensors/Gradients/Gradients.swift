/// Reverse-mode differentiation, graph to graph.
///
/// The gradient of a graph is more graph, made by walking it backwards and asking each operation's rule (the table in
/// `Op+Gradient.swift`) for the cotangents of its inputs. As rules record ordinary operations, the gradient of a gradient
/// needs nothing new.

/// The gradients of `y` with respect to each of `x`.
///
/// - Parameters:
///   - y: any shape; the sum of its elements is differentiated unless `cotangent` weighs them.
///   - x: tensors that `y` may depend on. A tensor that it does not depend on gets zeros.
///   - cotangent: of the shape of `y`; ones if nil.
///   - type: the type in which the gradients are summed up and returned; that of each `x` if nil. With `.float32`, gradients
///     of bfloat16 weights leave the matrix products unrounded.
/// - Returns: one gradient for each of `x`, of its shape.
public func gradients(
  of y: Tensor, with x: [Tensor], cotangent: Tensor? = nil, type: ElementType? = nil
) -> [Tensor] {
  gradients(of: y, with: x, cotangent: cotangent, type: type, partial: false)
}

/// The same; if `partial`, with each of `x` held fixed while another one moves, even where they depend on each other: what
/// the rule of an operation needs, whose inputs' own dependencies are followed by the walk.
func gradients(
  of y: Tensor, with x: [Tensor], cotangent: Tensor?, type: ElementType? = nil, partial: Bool
) -> [Tensor] {
  precondition(y.element.isFloat, "only floats have gradients, not \(y.type)")
  let seed = cotangent ?? .ones(y.shape, y.element)
  precondition(seed.shape == y.shape, "a cotangent of shape \(seed.shape) for a value of shape \(y.shape)")

  var cotangents = Cotangents(leaves: x, leafType: type)
  let active = activeNodes(from: y, to: x)
  cotangents.add(seed, to: y)
  // Nodes in falling order of their numbers: every use of a node comes before it.
  for node in active.reversed() {
    let incoming = (0..<node.resultCount).map { index in
      let result = Tensor(node, index)
      return partial && cotangents.leaves.contains(result.reference) ? nil : cotangents.take(result)
    }
    guard incoming.contains(where: { $0 != nil }) else { continue }
    let outgoing = Scope.$current.withValue(node.scope?.backward) {
      node.op.gradient(
        inputs: node.inputs, results: (0..<node.resultCount).map { Tensor(node, $0) }, cotangents: incoming)
    }
    for (input, cotangent) in zip(node.inputs, outgoing) {
      guard let cotangent, input.element.isFloat else { continue }
      precondition(
        cotangent.shape.dimensions == input.shape.dimensions,
        "the gradient of \(node.op.name) has shape \(cotangent.shape) for an input of shape \(input.shape)")
      cotangents.add(cotangent, to: input)
    }
  }
  return x.map { cotangents.take($0) ?? .zeros($0.shape, type ?? $0.element) }
}

/// A function's value and its gradients at `x`.
///
///     let (loss, gradients) = valueAndGradient(at: [w, b]) { p in (data.linear(p[0], bias: p[1]) - target).squared().mean() }
public func valueAndGradient(
  at x: [Tensor], _ function: ([Tensor]) throws -> Tensor
) rethrows -> (value: Tensor, gradients: [Tensor]) {
  let value = try function(x)
  return (value, gradients(of: value, with: x))
}

/// The nodes on a path from one of `x` to `y`, in rising order; those that make `x` themselves are left out.
private func activeNodes(from y: Tensor, to x: [Tensor]) -> [Node] {
  let leaves = Set(x.map(\.reference))
  var leads: [Int: Bool] = [:]  // by node: whether one of its inputs depends on a leaf
  var result: [Node] = []
  for node in Program.reachableWithoutValues(from: [y.node]) {
    let depends = node.inputs.contains { leaves.contains($0.reference) || leads[$0.node.id] == true }
    leads[node.id] = depends
    if depends { result.append(node) }
  }
  return result
}

/// The sums of what flows back to each tensor.
private struct Cotangents {
  let leaves: Set<Tensor.Reference>
  private let leafType: ElementType?
  private var sums: [Tensor.Reference: Tensor] = [:]

  init(leaves: [Tensor], leafType: ElementType?) {
    self.leaves = Set(leaves.map(\.reference))
    self.leafType = leafType
  }

  mutating func add(_ cotangent: Tensor, to tensor: Tensor) {
    let cotangent = cotangent.cast(sumType(of: tensor))
    let reference = tensor.reference
    sums[reference] = sums[reference].map { $0 + cotangent } ?? cotangent
  }

  /// What flowed to `tensor`; leaves keep theirs until they are asked for at the end.
  mutating func take(_ tensor: Tensor) -> Tensor? { sums[tensor.reference] }

  /// Sums of gradients that will be widened anyway are kept wide: those of leaves, and those that go through a cast.
  private func sumType(of tensor: Tensor) -> ElementType {
    if leaves.contains(tensor.reference) { return leafType ?? tensor.element }
    if case .cast = tensor.op, tensor.inputs[0].element.isFloat {
      return .promote(tensor.element, tensor.inputs[0].element)
    }
    return tensor.element
  }
}

extension Scope {
  /// The same place, for what is recorded on the way back.
  var backward: Scope {
    isBackward ? self : Scope("gradient", parent: self, rematerialised: false, isBackward: true)
  }
}
