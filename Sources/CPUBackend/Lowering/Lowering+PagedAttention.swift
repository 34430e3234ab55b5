import CKernels
import Tensors

/// Attention to pages.
extension Lowering {
  func pagedAttention(_ paged: PagedAttention) -> Kernel {
    let (q, k, tables) = (inputTypes[0].shape, inputTypes[1].shape, inputTypes[5].shape)
    var prepared = ck_paged_attention_arguments()
    prepared.type = inputTypes[0].element.kernels
    (prepared.rows, prepared.heads, prepared.head_size) = (Int64(q[0]), Int64(q[1]), Int64(q[2]))
    prepared.kv_heads = Int64(k[1])
    (prepared.blocks, prepared.block_size) = (Int64(k[0] / paged.blockSize), Int64(paged.blockSize))
    (prepared.sequences, prepared.table_blocks) = (Int64(tables[0]), Int64(tables[1]))
    prepared.scale = Float(paged.scale)
    prepared.window = Int64(paged.window ?? 0)
    prepared.softcap = Float(paged.softcap ?? 0)
    // How much scratch is needed depends on whether they are there.
    if paged.scales { (prepared.k_scales, prepared.v_scales) = (.init(bitPattern: 64), .init(bitPattern: 64)) }
    let scratch = ck_paged_attention_scratch(context, &prepared)
    let (inputs, result, template) = (inputs, results[0], prepared)
    return Kernel(scratchBytes: scratch) { frame in
      func pointer<T>(_ place: Int, _ type: T.Type) -> UnsafePointer<T> {
        UnsafePointer(frame[inputs[place]].assumingMemoryBound(to: type))
      }
      var arguments = template
      arguments.q = UnsafeRawPointer(frame[inputs[0]])
      arguments.k = UnsafeRawPointer(frame[inputs[1]])
      arguments.v = UnsafeRawPointer(frame[inputs[2]])
      arguments.positions = pointer(3, Int32.self)
      arguments.row_sequences = pointer(4, Int32.self)
      arguments.tables = pointer(5, Int32.self)
      if let place = paged.sinksIndex { arguments.sinks = pointer(place, Float.self) }
      if let place = paged.scalesIndex {
        arguments.k_scales = pointer(place, Float.self)
        arguments.v_scales = pointer(place + 1, Float.self)
      }
      arguments.o = frame[result]
      ck_paged_attention(frame.context, &arguments, frame.scratch)
    }
  }
}
