package import CKernels
package import Tensors

/// Weights in blocks: as floats, and as an operand of products.
extension Lowering {
  func dequantize(_ format: BlockFormat) -> Kernel {
    let (blocks, result) = (inputs[0], results[0])
    let (rows, columns) = rows(resultTypes[0].shape)
    let (format, type) = (format.kernels(columns: Int(columns)), resultTypes[0].element.kernels)
    return Kernel { frame in
      ck_dequantize(frame.context, format, rows, columns, frame[blocks], type, frame[result])
    }
  }

  func blockProduct(_ matmul: BlockMatmul) -> Kernel {
    let (x, blocks, y) = (inputTypes[0].shape, inputTypes[1].shape, resultTypes[0].shape)
    var arguments = blockArguments(matmul, result: 0)
    // One product for each matrix of blocks; rows of x that share one are one product.
    let matrices = blocks.dimensions.dropLast(2).reduce(1, *)
    let rows = y.dimensions.dropLast().reduce(1, *)
    arguments.m = Int64(matrices == 0 ? 0 : rows / matrices)
    let bytesX = Int(arguments.m) * x[-1] * inputTypes[0].element.size
    let bytesY = Int(arguments.m) * y[-1] * resultTypes[0].element.size
    let bytesBlocks = blocks[-1] * blocks[-2]
    let prepared = arguments
    let places = (x: inputs[0], blocks: inputs[1], y: results[0])
    return Kernel(scratchBytes: ck_row_block_matmul_scratch(context, &arguments)) { frame in
      for matrix in 0..<matrices {
        var arguments = prepared
        arguments.x = UnsafeRawPointer(frame[places.x] + matrix * bytesX)
        arguments.blocks = UnsafeRawPointer(frame[places.blocks] + matrix * bytesBlocks)
        arguments.y = frame[places.y] + matrix * bytesY
        ck_row_block_matmul(frame.context, &arguments, frame.scratch)
      }
    }
  }
}

extension Lowering {
  /// Products that share x.
  func blockProducts(_ products: [BlockMatmul]) -> Kernel {
    let rows = Int64(inputTypes[0].shape.dimensions.dropLast().reduce(1, *))
    let prepared = products.indices.map { place in
      var arguments = blockArguments(products[place], result: place)
      arguments.m = rows
      return arguments
    }
    let (inputs, results, count) = (inputs, results, Int64(products.count))
    let areAlone = context.pointee.row_invariant && !products.allSatisfy(\.format.isInteger)
    let scratch =
      areAlone
      ? prepared.map { withUnsafePointer(to: $0) { ck_row_block_matmul_scratch(context, $0) } }.max()!
      : ck_block_matmuls_scratch(context, count, prepared)
    return Kernel(scratchBytes: scratch) { frame in
      var all = prepared
      for place in all.indices {
        all[place].x = UnsafeRawPointer(frame[inputs[0]])
        all[place].blocks = UnsafeRawPointer(frame[inputs[1 + place]])
        all[place].y = frame[results[place]]
      }
      if areAlone {
        for place in all.indices { ck_row_block_matmul(frame.context, &all[place], frame.scratch) }
      } else {
        ck_block_matmuls(frame.context, count, all, frame.scratch)
      }
    }
  }

  /// Everything but the rows and the addresses.
  private func blockArguments(_ matmul: BlockMatmul, result: Int) -> ck_block_matmul_arguments {
    var arguments = ck_block_matmul_arguments()
    arguments.format = matmul.format.kernels(columns: inputTypes[0].shape[-1])
    arguments.type_x = inputTypes[0].element.kernels
    arguments.type_y = resultTypes[result].element.kernels
    (arguments.n, arguments.k) = (Int64(resultTypes[result].shape[-1]), Int64(inputTypes[0].shape[-1]))
    (arguments.ldx, arguments.ldy) = (arguments.k, arguments.n)
    arguments.exact = matmul.exact
    return arguments
  }
}

extension BlockFormat {
  /// The format of rows of `columns` elements.
  package func kernels(columns: Int) -> ck_block_format {
    let kind: ck_block_kind =
      switch self {
      case .q40: CK_Q4_0
      case .q41: CK_Q4_1
      case .q50: CK_Q5_0
      case .q51: CK_Q5_1
      case .q80: CK_Q8_0
      case .q2K: CK_Q2_K
      case .q3K: CK_Q3_K
      case .q4K: CK_Q4_K
      case .q5K: CK_Q5_K
      case .q6K: CK_Q6_K
      case .iq4NL: CK_IQ4_NL
      case .iq4XS: CK_IQ4_XS
      case .mxfp4: CK_MXFP4
      case .int4: CK_INT4
      case .int8: CK_INT8
      case .nf4: CK_NF4
      case .fp8E4M3: CK_FP8_E4M3
      }
    return switch self {
    case .int4(let group), .int8(let group), .fp8E4M3(let group):
      ck_block_format(kind: kind, group: Int64(group ?? max(32, columns)))
    default: ck_block_format(kind: kind, group: 0)
    }
  }
}
