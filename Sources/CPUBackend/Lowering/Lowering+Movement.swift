import CKernels
import Tensors

/// Sources, copies with strides, and moves by index.
extension Lowering {
  func fill(_ scalar: Scalar) -> Kernel {
    let (result, type) = (results[0], resultTypes[0])
    let pattern = TensorData(TensorType(type.element, .scalar))
    pattern[0] = scalar
    return Kernel { frame in
      ck_fill(frame.context, frame[result], Int64(type.shape.count), type.element.kernels, pattern.pointer)
    }
  }

  func iota(_ axis: Int) -> Kernel {
    let (result, type) = (results[0], resultTypes[0])
    let (outer, count, inner) = sizes(type.shape, around: axis)
    return Kernel { frame in
      let data = TensorData(type, pointer: frame[result], owner: type.shape.dimensions as AnyObject)
      for o in 0..<outer {
        for c in 0..<count {
          for i in 0..<inner { data[(o * count + c) * inner + i] = .integer(Int64(c)) }
        }
      }
    }
  }

  func random(_ distribution: Distribution, _ type: TensorType, _ stream: UInt64) -> Kernel {
    let (key, result, count) = (inputs[0], results[0], Int64(resultTypes[0].shape.count))
    let kind: ck_distribution =
      switch distribution {
      case .bits: CK_RANDOM_BITS
      case .uniform: CK_RANDOM_UNIFORM
      case .normal: CK_RANDOM_NORMAL
      }
    return Kernel { frame in
      let seed = UInt64(bitPattern: frame[key].load(as: Int64.self))
      ck_random(frame.context, kind, type.element.kernels, seed, stream, count, frame[result])
    }
  }

  func reshape() -> Kernel {
    let (input, result, bytes) = (inputs[0], results[0], resultTypes[0].bytes)
    return Kernel { frame in
      if frame[input] != frame[result] { frame[result].copyMemory(from: frame[input], byteCount: bytes) }
    }
  }

  /// The result, dense, from the input read with `strides` (in elements of the input) from `offset` on.
  func copy(strides: [Int], offset: Int = 0) -> Kernel {
    strided(
      input: 0, result: 0, dimensions: resultTypes[0].shape.dimensions, from: strides, at: offset,
      to: resultTypes[0].shape.strides, at: 0)
  }

  /// Copies `dimensions` elements between two places, each with its strides and offset in elements.
  private func strided(
    input: Int, result: Int, dimensions: [Int], from: [Int], at fromOffset: Int, to: [Int], at toOffset: Int
  ) -> Kernel {
    precondition(dimensions.count <= Int(CK_MAX_RANK), "\(op.name): at most \(CK_MAX_RANK) axes")
    var arguments = ck_copy_arguments()
    let element = inputTypes[input].element
    arguments.rank = Int32(dimensions.count)
    arguments.input_type = element.kernels
    arguments.output_type = element.kernels
    withUnsafeMutableBytes(of: &arguments.dimensions) {
      for (i, v) in dimensions.enumerated() { $0.storeElement(Int64(v), i) }
    }
    withUnsafeMutableBytes(of: &arguments.input_strides) {
      for (i, v) in from.enumerated() { $0.storeElement(Int64(v), i) }
    }
    withUnsafeMutableBytes(of: &arguments.output_strides) {
      for (i, v) in to.enumerated() { $0.storeElement(Int64(v), i) }
    }
    let (source, target) = (inputs[input], results[result])
    let prepared = arguments
    return Kernel { frame in
      var arguments = prepared
      arguments.input = UnsafeRawPointer(frame[source] + fromOffset * element.size)
      arguments.output = frame[target] + toOffset * element.size
      ck_copy(frame.context, &arguments)
    }
  }

  func slice(_ slices: [Slice]) -> Kernel {
    let strides = inputTypes[0].shape.strides
    let offset = zip(slices, strides).reduce(0) { $0 + $1.0.start * $1.1 }
    return copy(strides: zip(slices, strides).map { $0.step * $1 }, offset: offset)
  }

  func pad(_ paddings: [Padding]) -> Kernel {
    let strides = resultTypes[0].shape.strides
    let inner = strided(
      input: 0, result: 0, dimensions: inputTypes[0].shape.dimensions, from: inputTypes[0].shape.strides, at: 0,
      to: zip(paddings, strides).map { ($0.between + 1) * $1 },
      at: zip(paddings, strides).reduce(0) { $0 + $1.0.before * $1.1 })
    let zero = fill(.integer(0))
    return Kernel { frame in
      zero.run(frame)
      inner.run(frame)
    }
  }

  func concatenate(_ axis: Int) -> Kernel {
    let total = sizes(resultTypes[0].shape, around: axis)
    var start = 0
    let parts = inputs.indices.map { place -> Kernel in
      let part = sizes(inputTypes[place].shape, around: axis)
      defer { start += part.count }
      let width = part.count * part.inner
      return strided(
        input: place, result: 0, dimensions: [part.outer, width], from: [width, 1], at: 0,
        to: [total.count * total.inner, 1], at: start * total.inner)
    }
    return Kernel { frame in for part in parts { part.run(frame) } }
  }

  func split(_ axis: Int) -> Kernel {
    let total = sizes(inputTypes[0].shape, around: axis)
    var start = 0
    let parts = results.indices.map { place -> Kernel in
      let part = sizes(resultTypes[place].shape, around: axis)
      defer { start += part.count }
      let width = part.count * part.inner
      return strided(
        input: 0, result: place, dimensions: [part.outer, width], from: [total.count * total.inner, 1],
        at: start * total.inner, to: [width, 1], at: 0)
    }
    return Kernel { frame in for part in parts { part.run(frame) } }
  }

  // MARK: By index

  func gather(_ axis: Int) -> Kernel {
    let (table, indices, result) = (inputs[0], inputs[1], results[0])
    let (outer, entries, inner) = sizes(inputTypes[0].shape, around: axis)
    let count = Int64(inputTypes[1].shape.count)
    let (type, indexType) = (inputTypes[0].element.kernels, inputTypes[1].element.kernels)
    return Kernel { frame in
      ck_gather(
        frame.context, type, indexType, Int64(outer), Int64(entries), count, Int64(inner), frame[table], frame[indices],
        frame[result])
    }
  }

  func scatterAdd(_ axis: Int, _ entries: Int) -> Kernel {
    let (updates, indices, result) = (inputs[0], inputs[1], results[0])
    let dimensions = inputTypes[0].shape.dimensions
    let outer = Int64(dimensions[..<axis].reduce(1, *))
    let inner = Int64(dimensions[(axis + inputTypes[1].shape.rank)...].reduce(1, *))
    let count = Int64(inputTypes[1].shape.count)
    let (type, typeOut) = (inputTypes[0].element.kernels, resultTypes[0].element.kernels)
    let indexType = inputTypes[1].element.kernels
    let scratch = ck_scatter_add_scratch(context, Int64(entries), count)
    return Kernel(scratchBytes: scratch) { frame in
      ck_scatter_add(
        frame.context, type, typeOut, indexType, outer, Int64(entries), count, inner, frame[updates], frame[indices],
        frame[result], frame.scratch)
    }
  }

  func update(_ axis: Int) -> Kernel {
    let (x, rows, index, result, bytes) = (inputs[0], inputs[1], inputs[2], results[0], resultTypes[0].bytes)
    let (outer, entries, inner) = sizes(inputTypes[0].shape, around: axis)
    let (count, places) = (Int64(inputTypes[1].shape[axis]), Int64(inputTypes[2].shape.count))
    let type = inputTypes[0].element.kernels
    return Kernel { frame in
      // The plan makes the result's place that of x where x is not needed any more.
      if frame[x] != frame[result] { frame[result].copyMemory(from: frame[x], byteCount: bytes) }
      ck_update(
        frame.context, type, Int64(outer), Int64(entries), count, Int64(inner), frame[rows],
        frame[index].assumingMemoryBound(to: Int32.self), places, frame[result])
    }
  }

  func take() -> Kernel {
    let (table, indices, result) = (inputs[0], inputs[1], results[0])
    let (rows, entries) = rows(inputTypes[0].shape)
    let count = Int64(inputTypes[1].shape[-1])
    let (type, indexType) = (inputTypes[0].element.kernels, inputTypes[1].element.kernels)
    return Kernel { frame in
      ck_take(frame.context, type, indexType, rows, entries, count, frame[table], frame[indices], frame[result])
    }
  }

  func takeAdd(_ entries: Int) -> Kernel {
    let (updates, indices, result) = (inputs[0], inputs[1], results[0])
    let (rows, count) = rows(inputTypes[0].shape)
    let (type, indexType) = (inputTypes[0].element.kernels, inputTypes[1].element.kernels)
    return Kernel { frame in
      ck_take_add(
        frame.context, type, indexType, rows, Int64(entries), count, frame[updates], frame[indices], frame[result])
    }
  }
}
