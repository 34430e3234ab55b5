// Kernels with a thread for each item of many, in any order.

internal import KernelLanguage
internal import Tensors

/// A kernel whose threads know nothing of each other.
protocol FlatKernel: KernelSource {
  var name: String { get }
  /// Whether item numbers need 64 bits.
  var isWide: Bool { get }
  /// Declares the parameters but for the count, which is the last.
  ///
  /// - Returns: what a thread does with its item.
  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void
}

/// Of a block.
private let flatThreads = 128

extension FlatKernel {
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel(name, target: target, threads: flatThreads) { k in isWide ? build(k, U64.self) : build(k, U32.self) }
  }

  private func build<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) {
    let body = body(k, type)
    let count = k.parameter("count", type)
    let item = k.globalThread(type, threads: flatThreads)
    k.when(item .< count) { body(item) }
  }
}

extension KernelBuilder {
  /// The thread in the grid, along x, in the width of I.
  func globalThread<I: IntegerType>(_ type: I.Type, threads: Int) -> Value<I> {
    multiplyAdd(convert(block.x, to: type), Value(threads), convert(thread.x, to: type))
  }
}

extension Lowering {
  /// Launches a flat kernel; nothing if there are no items.
  mutating func launch(_ source: some FlatKernel, count: Int, _ operands: [Operand]) throws {
    if count == 0 { return }
    try launch(
      source, grid: Extent((count + flatThreads - 1) / flatThreads), threads: flatThreads,
      operands + [.count(count, isWide: source.isWide)])
  }
}

// MARK: - Bytes

/// Pieces of memory that are moved as they are: 1, 2, 4, 8 or 16 bytes.
struct Pieces {
  let size: Int
  let pointer: Pointer<U8, Global>

  /// The largest piece that rows of so many bytes are whole multiples of.
  static func size(rowBytes: Int) -> Int { [16, 8, 4, 2, 1].first { rowBytes % $0 == 0 }! }

  private func words<I: IntegerType>(_ index: Value<I>) -> Pointer<U64, Global> {
    let words = pointer.cast(to: U64.self)
    return size == 16 ? words + (index << 1) : words + index
  }

  func move<I: IntegerType>(_ index: Value<I>, from source: Pieces, at place: Value<I>) {
    switch size {
    case 1: pointer[index] = source.pointer[place]
    case 2: pointer.cast(to: U16.self)[index] = source.pointer.cast(to: U16.self)[place]
    case 4: pointer.cast(to: U32.self)[index] = source.pointer.cast(to: U32.self)[place]
    case 8: words(index).store(source.words(place).load())
    default: words(index).store(source.words(place).load(2))
    }
  }

  func clear<I: IntegerType>(_ k: KernelBuilder, _ index: Value<I>) {
    switch size {
    case 1: pointer[index] = 0
    case 2: pointer.cast(to: U16.self)[index] = 0
    case 4: pointer.cast(to: U32.self)[index] = 0
    case 8: words(index).store(0)
    default: words(index).store([0, 0])
    }
  }
}
