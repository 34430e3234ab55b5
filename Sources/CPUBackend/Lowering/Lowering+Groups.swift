import CKernels
import Tensors

/// Products of rows with the matrices of their groups (mixtures of experts).
extension Lowering {
  func groupedMatmul(_ grouped: GroupedMatmul) -> Kernel {
    var prepared = ck_grouped_matmul_arguments()
    prepared.type_x = inputTypes[0].element.kernels
    prepared.type_w = inputTypes[1].element.kernels
    prepared.type_y = resultTypes[0].element.kernels
    prepared.rows = Int64(inputTypes[0].shape[0])
    prepared.groups = Int64(inputTypes[1].shape[0])
    prepared.k = Int64(inputTypes[0].shape[1])
    prepared.n = Int64(resultTypes[0].shape[1])
    prepared.transposed = grouped.transposed
    if let format = grouped.format {
      prepared.in_blocks = true
      prepared.format = format.kernels(columns: Int(prepared.k))
      prepared.exact = grouped.exact
    }
    let scratch = ck_grouped_matmul_scratch(context, &prepared)
    let (inputs, result, template) = (inputs, results[0], prepared)
    return Kernel(scratchBytes: scratch) { frame in
      var arguments = template
      arguments.x = UnsafeRawPointer(frame[inputs[0]])
      arguments.w = UnsafeRawPointer(frame[inputs[1]])
      arguments.counts = UnsafePointer(frame[inputs[2]].assumingMemoryBound(to: Int32.self))
      arguments.y = frame[result]
      ck_grouped_matmul(frame.context, &arguments, frame.scratch)
    }
  }

  func groupedOuter() -> Kernel {
    var prepared = ck_grouped_outer_arguments()
    prepared.type_a = inputTypes[0].element.kernels
    prepared.type_b = inputTypes[1].element.kernels
    prepared.type_c = resultTypes[0].element.kernels
    prepared.rows = Int64(inputTypes[0].shape[0])
    prepared.groups = Int64(inputTypes[2].shape[0])
    prepared.m = Int64(inputTypes[0].shape[1])
    prepared.n = Int64(inputTypes[1].shape[1])
    let scratch = ck_grouped_outer_scratch(context, &prepared)
    let (inputs, result, template) = (inputs, results[0], prepared)
    return Kernel(scratchBytes: scratch) { frame in
      var arguments = template
      arguments.a = UnsafeRawPointer(frame[inputs[0]])
      arguments.b = UnsafeRawPointer(frame[inputs[1]])
      arguments.counts = UnsafePointer(frame[inputs[2]].assumingMemoryBound(to: Int32.self))
      arguments.c = frame[result]
      ck_grouped_outer(frame.context, &arguments, frame.scratch)
    }
  }
}
