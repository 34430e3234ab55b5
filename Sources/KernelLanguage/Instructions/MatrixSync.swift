// Matrix products of a warp (sm_80), and the loads and stores of 8 x 8 matrices that feed them.
//
// Lane l holds, with g = l / 4 and t = l % 4, of a 16 x 16 matrix A: rows g and g + 8, columns 2t, 2t + 1, 2t + 8, 2t + 9; of
// a 16 x 8 matrix B: rows 2t, 2t + 1, 2t + 8, 2t + 9 of column g; of a 16 x 8 result: rows g and g + 8, columns 2t, 2t + 1.
//
// PTX ISA 9.1, "Warp level matrix instructions".

extension KernelBuilder {
  /// What the elements of a matrix product are.
  public enum MatrixType: String, Hashable, Sendable {
    case f16, bf16, tf32, e4m3, e5m2, s8, u8

    /// In bytes.
    public var size: Int {
      switch self {
      case .tf32: 4
      case .f16, .bf16: 2
      case .e4m3, .e5m2, .s8, .u8: 1
      }
    }
  }

  /// d += a · b of 16 x k and k x 8, where k is 32 bytes: `d` has four registers, `a` four, `b` two.
  public func multiplyAccumulate(
    _ d: [Value<F32>], _ a: [Value<U32>], _ b: [Value<U32>], _ type: MatrixType
  ) {
    precondition(d.count == 4 && a.count == 4 && b.count == 2, "a warp's product takes 4, 4 and 2 registers")
    emit(
      "mma.sync.aligned.m16n8k\(32 / type.size).row.col.f32.\(type.rawValue).\(type.rawValue).f32", vector(d),
      vector(a),
      vector(b), vector(d))
  }

  /// As above, of whole numbers.
  public func multiplyAccumulate(
    _ d: [Value<S32>], _ a: [Value<U32>], _ b: [Value<U32>], _ type: MatrixType
  ) {
    precondition(d.count == 4 && a.count == 4 && b.count == 2, "a warp's product takes 4, 4 and 2 registers")
    emit(
      "mma.sync.aligned.m16n8k32.row.col.s32.\(type.rawValue).\(type.rawValue).s32", vector(d), vector(a), vector(b),
      vector(d))
  }

  /// One, two or four 8 x 8 matrices of 16-bit elements from shared memory. Lane 8i + j brings the address of row j of matrix
  /// i, 16 bytes; lane l gets of each matrix row l / 4, columns 2(l % 4) and the next, or the same of its transpose.
  public func loadMatrices<E: ElementOfMemory>(
    _ count: Int, from row: Pointer<E, Shared>, transposed: Bool = false
  ) -> [Value<U32>] {
    let results = (0..<count).map { _ in register(U32.self) }
    emit(
      "ldmatrix.sync.aligned.m8n8.x\(count)\(transposed ? ".trans" : "").shared.b16", vector(results), row.operand)
    return results
  }

  /// The inverse of `loadMatrices` (sm_90).
  public func storeMatrices<E: ElementOfMemory>(
    _ values: [Value<U32>], to row: Pointer<E, Shared>, transposed: Bool = false
  ) {
    emit(
      "stmatrix.sync.aligned.m8n8.x\(values.count)\(transposed ? ".trans" : "").shared.b16", row.operand, vector(values)
    )
  }

  /// The transpose of an 8 x 8 matrix of 16-bit elements, of which lane l holds row l / 4, columns 2(l % 4) and the next.
  public func transposeMatrix(_ matrix: Value<U32>) -> Value<U32> {
    result(U32.self, "movmatrix.sync.aligned.m8n8.trans.b16", matrix.operand)
  }

  func vector<T: RegisterType>(_ values: [Value<T>]) -> PTXOperand { .vector(values.map(\.operand)) }
}
