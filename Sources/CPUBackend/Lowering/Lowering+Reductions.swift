import CKernels
import Tensors

/// Reductions, scans and order.
extension Lowering {
  func reduce(_ reduction: Reduction, _ axes: [Int]) -> Kernel {
    let shape = inputTypes[0].shape
    let (input, result) = (inputs[0], results[0])
    let (type, typeOut) = (inputTypes[0].element, resultTypes[0].element)
    let kind = ck_reduction(UInt32(reduction.rawValue))
    let isContiguous = axes.isEmpty || axes.last! - axes.first! == axes.count - 1
    let outer: Int
    let reduced = axes.map { shape[$0] }.reduce(1, *)
    let inner: Int
    if isContiguous {
      outer = shape.dimensions[..<(axes.first ?? shape.rank)].reduce(1, *)
      inner = shape.dimensions[((axes.last ?? shape.rank - 1) + 1)...].reduce(1, *)
    } else {
      // Axes that do not lie together are first brought to the end.
      outer = resultTypes[0].shape.count
      inner = 1
    }
    let kernelScratch = ck_reduce_scratch(context, type.kernels, Int64(outer), Int64(reduced), Int64(inner))
    if isContiguous {
      return Kernel(scratchBytes: kernelScratch) { frame in
        ck_reduce(
          frame.context, kind, type.kernels, typeOut.kernels, Int64(outer), Int64(reduced), Int64(inner), frame[input],
          frame[result], frame.scratch)
      }
    }
    let order = shape.dimensions.indices.filter { !axes.contains($0) } + axes
    let strides = shape.strides
    var copy = ck_copy_arguments()
    copy.rank = Int32(shape.rank)
    copy.input_type = type.kernels
    copy.output_type = type.kernels
    let moved = Shape(order.map { shape[$0] })
    withUnsafeMutableBytes(of: &copy.dimensions) {
      for (i, v) in moved.dimensions.enumerated() { $0.storeElement(Int64(v), i) }
    }
    withUnsafeMutableBytes(of: &copy.input_strides) {
      for (i, v) in order.enumerated() { $0.storeElement(Int64(strides[v]), i) }
    }
    withUnsafeMutableBytes(of: &copy.output_strides) {
      for (i, v) in moved.strides.enumerated() { $0.storeElement(Int64(v), i) }
    }
    let prepared = copy
    let movedBytes = (inputTypes[0].bytes + 63) & ~63
    return Kernel(scratchBytes: movedBytes + kernelScratch) { frame in
      var copy = prepared
      copy.input = UnsafeRawPointer(frame[input])
      copy.output = frame.scratch
      ck_copy(frame.context, &copy)
      ck_reduce(
        frame.context, kind, type.kernels, typeOut.kernels, Int64(outer), Int64(reduced), 1, frame.scratch,
        frame[result],
        frame.scratch + movedBytes)
    }
  }

  func argMax(_ axis: Int) -> Kernel {
    let (input, result, type) = (inputs[0], results[0], inputTypes[0].element.kernels)
    let (outer, count, inner) = sizes(inputTypes[0].shape, around: axis)
    return Kernel { frame in
      ck_arg_max(
        frame.context, type, Int64(outer), Int64(count), Int64(inner), frame[input],
        frame[result].assumingMemoryBound(to: Int32.self))
    }
  }

  func cumulativeSum(_ axis: Int, _ reverse: Bool, _ exclusive: Bool) -> Kernel {
    let (input, result, type) = (inputs[0], results[0], inputTypes[0].element.kernels)
    let (outer, count, inner) = sizes(inputTypes[0].shape, around: axis)
    return Kernel { frame in
      ck_cumulative_sum(
        frame.context, type, Int64(outer), Int64(count), Int64(inner), reverse, exclusive, frame[input], frame[result])
    }
  }

  func topK(_ k: Int) -> Kernel {
    let (input, values, indices, type) = (inputs[0], results[0], results[1], inputTypes[0].element.kernels)
    let (rows, width) = rows(inputTypes[0].shape)
    return Kernel(scratchBytes: ck_order_scratch(context, rows, width)) { frame in
      ck_top_k(
        frame.context, type, rows, width, Int64(k), frame[input], frame[values],
        frame[indices].assumingMemoryBound(to: Int32.self), frame.scratch)
    }
  }

  func sort(_ descending: Bool) -> Kernel {
    let (input, values, indices, type) = (inputs[0], results[0], results[1], inputTypes[0].element.kernels)
    let (rows, width) = rows(inputTypes[0].shape)
    return Kernel(scratchBytes: ck_order_scratch(context, rows, width)) { frame in
      ck_sort(
        frame.context, type, rows, width, descending, frame[input], frame[values],
        frame[indices].assumingMemoryBound(to: Int32.self), frame.scratch)
    }
  }
}
