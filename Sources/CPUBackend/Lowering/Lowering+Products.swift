import CKernels
import Tensors

/// Matrix products with their epilogues.
extension Lowering {
  func product(_ matmul: Matmul) -> Kernel {
    let (a, b, c) = (inputTypes[0].shape, inputTypes[1].shape, resultTypes[0].shape)
    var arguments = ck_matmul_arguments()
    arguments.type_a = inputTypes[0].element.kernels
    arguments.type_b = inputTypes[1].element.kernels
    arguments.type_c = resultTypes[0].element.kernels
    arguments.m = Int64(c[-2])
    arguments.n = Int64(c[-1])
    arguments.k = Int64(a[matmul.transposeA ? -2 : -1])
    arguments.lda = Int64(a[-1])
    arguments.ldb = Int64(b[-1])
    arguments.ldc = Int64(c[-1])
    arguments.ldr = arguments.ldc
    arguments.transpose_a = matmul.transposeA
    arguments.transpose_b = matmul.transposeB
    arguments.activation = matmul.activation.kernels
    let (matrixA, matrixB, matrixC) = (a[-1] * a[-2], b[-1] * b[-2], c[-1] * c[-2])
    let batch = c.dimensions.dropLast(2).reduce(1, *)
    let (batchA, batchB) = (a.dimensions.dropLast(2).reduce(1, *), b.dimensions.dropLast(2).reduce(1, *))

    if batchB == 1 && batchA == batch && !matmul.transposeA {
      // One right operand for all rows: a single product.
      arguments.batch = 1
      arguments.m *= Int64(batch)
      return call([arguments], matmul)
    }
    arguments.stride_c = Int64(matrixC)
    arguments.stride_r = Int64(matrixC)
    if (batchA == batch || batchA == 1) && (batchB == batch || batchB == 1) {
      arguments.batch = Int64(batch)
      arguments.stride_a = batchA == 1 ? 0 : Int64(matrixA)
      arguments.stride_b = batchB == 1 ? 0 : Int64(matrixB)
      return call([arguments], matmul)
    }
    if c[-2] == 1, !matmul.transposeA, batchA == batch,
      b.dimensions.dropLast(2) == c.dimensions.dropLast(2).suffix(b.rank - 2)
    {
      // Rows of many batches that meet the same matrices: as many products as there are matrices, of rows that lie apart.
      let rows = batchB == 0 ? 0 : batch / batchB
      arguments.batch = Int64(batchB)
      arguments.m = Int64(rows)
      (arguments.stride_a, arguments.stride_b) = (Int64(matrixA), Int64(matrixB))
      arguments.lda = Int64(batchB * matrixA)
      (arguments.ldc, arguments.ldr) = (Int64(batchB * matrixC), Int64(batchB * matrixC))
      return call([arguments], matmul)
    }
    // Batches that broadcast along some axes only: one product each.
    let outer = Shape(Array(c.dimensions.dropLast(2)))
    let offsetsA = offsets(Shape(Array(a.dimensions.dropLast(2))), in: outer)
    let offsetsB = offsets(Shape(Array(b.dimensions.dropLast(2))), in: outer)
    arguments.batch = 1
    return call(Array(repeating: arguments, count: batch), matmul) { index in
      (offsetsA[index] * matrixA, offsetsB[index] * matrixB, index * matrixC)
    }
  }

  /// For each element of `outer`, the element of a shape that broadcasts to it.
  private func offsets(_ shape: Shape, in outer: Shape) -> [Int] {
    let strides = shape.strides(broadcastTo: outer)
    let own = outer.strides
    return (0..<outer.count).map { index in
      (0..<outer.rank).reduce(0) { $0 + index / own[$1] % outer[$1] * strides[$1] }
    }
  }

  private func call(
    _ prepared: [ck_matmul_arguments], _ matmul: Matmul,
    offsets: @escaping (Int) -> (a: Int, b: Int, c: Int) = { _ in (0, 0, 0) }
  ) -> Kernel {
    let (a, b, c) = (inputs[0], inputs[1], results[0])
    let bias = matmul.bias ? inputs[2] : nil
    let residual = matmul.residual ? inputs[matmul.bias ? 3 : 2] : nil
    let preActivation = matmul.keepsPreActivation ? results[1] : nil
    let (sizeA, sizeB, sizeC) = (inputTypes[0].element.size, inputTypes[1].element.size, resultTypes[0].element.size)
    let typeBias = bias.map { _ in inputTypes[2].element.kernels }
    let residualType = residual.map { _ in inputTypes[matmul.bias ? 3 : 2].element }
    var scratch = 0
    for var arguments in prepared.prefix(1) {
      if bias != nil { arguments.type_bias = typeBias! }
      scratch = ck_matmul_scratch(context, &arguments)
    }
    return Kernel(scratchBytes: scratch) { frame in
      for (index, template) in prepared.enumerated() {
        var arguments = template
        let offset = offsets(index)
        arguments.a = UnsafeRawPointer(frame[a] + offset.a * sizeA)
        arguments.b = UnsafeRawPointer(frame[b] + offset.b * sizeB)
        arguments.c = frame[c] + offset.c * sizeC
        if let bias {
          arguments.bias = UnsafeRawPointer(frame[bias])
          arguments.type_bias = typeBias!
        }
        if let residual, let residualType {
          arguments.residual = UnsafeRawPointer(frame[residual] + offset.c * residualType.size)
          arguments.type_residual = residualType.kernels
        }
        if let preActivation { arguments.pre_activation = frame[preActivation] + offset.c * sizeC }
        ck_matmul(frame.context, &arguments, frame.scratch)
      }
    }
  }
}

extension Activation? {
  fileprivate var kernels: ck_activation {
    switch self {
    case nil: CK_IDENTITY
    case .relu: CK_RELU
    case .reluSquared: CK_RELU_SQUARED
    case .geluTanh: CK_GELU_TANH
    case .geluErf: CK_GELU_ERF
    case .silu: CK_SILU
    }
  }
}
