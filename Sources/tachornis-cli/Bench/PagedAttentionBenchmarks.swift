// Attention to pages: one token of each of many sequences, where reading keys and values is all, and a piece of a prompt, where
// multiplying is.
//
// Invariant: a sequence's blocks lie anywhere in the pool.

internal import CKernels
internal import Core

extension KernelBenchmark {
  /// Sequences, rows of each, keys; 32 heads of which 4 share a key head of 64 elements.
  static var pages: [KernelBenchmark] {
    let decoding = [1, 8, 64].flatMap { sequences in [128, 512, 2048, 4096].map { (sequences, 1, $0) } }
    let reading = [(1, 512, 512), (1, 512, 2048), (1, 512, 4096)]
    return [CK_F32, CK_BF16, CK_I8].flatMap { type in
      // 64 long sequences in float32 are a gigabyte and tell nothing more.
      (decoding + reading).filter { $0.0 * $0.2 <= 64 * 2048 }.map { pages(type, $0.0, rows: $0.1, keys: $0.2) }
    }
  }

  private static func pages(_ type: ck_type, _ sequences: Int, rows: Int, keys: Int) -> KernelBenchmark {
    let (heads, keyHeads, size, blockSize) = (32, 8, 64, 16)
    let blocks = sequences * ((keys + blockSize - 1) / blockSize)
    let count = blocks * blockSize * keyHeads * size
    let pairs = Double(sequences * heads) * Double(rows) * (Double(keys) - Double(rows - 1) / 2)
    return KernelBenchmark(
      name: "pages", type: type, shape: "\(sequences)x\(rows)x\(keys)", variant: "\(heads)/\(keyHeads) heads",
      operations: 4 * pairs * Double(size), bytes: 2 * Double(count) * Double(ck_type_size(type)), traffic: .read
    ) { context in
      let (stored, computed) = (type, type == CK_I8 ? CK_BF16 : type)
      let pools = (0..<2).map { Operand.normal(context, stored, count, stream: UInt64($0)) }
      let scales = Operand.normal(context, CK_F32, count / size, scale: 0.01)
      let q = Operand.normal(context, computed, sequences * rows * heads * size)
      let o = Operand(computed, q.count)
      let (positions, owners, tables) = (
        Operand(CK_I32, sequences * rows), Operand(CK_I32, sequences * rows), Operand(CK_I32, blocks)
      )
      func integers(_ operand: Operand) -> UnsafeMutablePointer<Int32> {
        operand.pointer.assumingMemoryBound(to: Int32.self)
      }
      for row in 0..<(sequences * rows) {
        integers(positions)[row] = Int32(keys - rows + row % rows)
        integers(owners)[row] = Int32(row / rows)
      }
      let random = RandomStream(key: 1)
      for block in 0..<blocks {
        // A permutation by exchanges, in place.
        let other = random.integer(at: UInt64(block), below: block + 1)
        integers(tables)[block] = integers(tables)[other]
        integers(tables)[other] = Int32(block)
      }
      var a = ck_paged_attention_arguments()
      a.type = computed
      if type == CK_I8 { (a.k_scales, a.v_scales) = (.init(scales.floats()), .init(scales.floats())) }
      (a.rows, a.heads, a.kv_heads) = (Int64(sequences * rows), Int64(heads), Int64(keyHeads))
      (a.head_size, a.blocks, a.block_size) = (Int64(size), Int64(blocks), Int64(blockSize))
      (a.sequences, a.table_blocks) = (Int64(sequences), Int64(blocks / sequences))
      (a.positions, a.row_sequences) = (.init(integers(positions)), .init(integers(owners)))
      a.tables = .init(integers(tables))
      a.scale = 1 / Float(size).squareRoot()
      (a.q, a.k, a.v) = (
        UnsafeRawPointer(q.pointer), UnsafeRawPointer(pools[0].pointer), UnsafeRawPointer(pools[1].pointer)
      )
      a.o = o.pointer
      let scratch = Operand(scratch: ck_paged_attention_scratch(context, &a))
      return {
        withExtendedLifetime((pools, scales, q, o, positions, owners, tables)) {
          ck_paged_attention(context, &a, scratch.pointer)
        }
      }
    }
  }
}
