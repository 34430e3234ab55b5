// Threads that work on one row together: a warp, or a block.
//
// Invariant: the order in which a group combines its threads' values depends on its size alone, so results have the same bits
// in every run.

internal import KernelLanguage
internal import Tensors

/// The threads of a row.
struct ThreadGroup {
  /// A multiple of 32; 32: each warp of the block has a row of its own.
  let size: Int
  /// The thread in its group.
  let lane: Value<U32>
  /// The group in the grid.
  let number: Value<U32>
  private let k: KernelBuilder
  /// Where warps leave what they have for each other: 8 bytes each, if there are several.
  private let exchange: Pointer<U8, Shared>?

  /// Warps of a block whose groups are warps.
  static let warps = 4

  /// Threads of a block.
  static func threads(_ size: Int) -> Int { size == 32 ? 32 * warps : size }

  /// Blocks that so many groups need.
  static func blocks(_ groups: Int, _ size: Int) -> Int { size == 32 ? (groups + warps - 1) / warps : groups }

  init(_ k: KernelBuilder, size: Int) {
    precondition(size >= 32 && size <= 1024 && size & (size - 1) == 0, "a group of \(size) threads")
    (self.k, self.size) = (k, size)
    if size == 32 {
      lane = k.lane
      number = k.multiplyAdd(k.block.x, Value(ThreadGroup.warps), k.warp)
      exchange = nil
    } else {
      lane = k.thread.x
      number = k.block.x
      exchange = k.shared(U8.self, count: size / 32 * 8)
    }
  }

  /// Combines the values of all threads, so that all have the result.
  func combine(_ value: Number, _ operation: (Number, Number) -> Number) -> Number {
    combine([value]) { [operation($0[0], $1[0])] }[0]
  }

  /// The same for several values that belong together.
  func combine(_ values: [Number], _ operation: ([Number], [Number]) -> [Number]) -> [Number] {
    func overWarp(_ values: [Number], _ width: Int) -> [Number] {
      var (values, distance) = (values, width / 2)
      while distance > 0 {
        let others = values.map { k.shuffle($0, .butterfly, Value(distance)) }
        values = operation(values, others)
        distance /= 2
      }
      return values
    }
    let own = overWarp(values, 32)
    guard let exchange else { return own }
    let warps = size / 32
    return zip(own, overWarp(own.map { exchanged($0, exchange, warps) }, warps)).map { $1 }
  }

  /// What warp number `lane % warps` has.
  private func exchanged(_ value: Number, _ exchange: Pointer<U8, Shared>, _ warps: Int) -> Number {
    let element = value.numberClass.element
    let places = Elements(element, exchange)
    k.synchronise()
    k.when(k.lane .== 0) { places.store(k, at: k.warp, value) }
    k.synchronise()
    return places.load(k, at: k.lane & Value(warps - 1))
  }

  func sum(_ value: Number) -> Number { combine(value) { k.add($0, $1) } }
  func maximum(_ value: Number) -> Number { combine(value) { k.extremum($0, $1, isMaximum: true) } }
}

extension NumberClass {
  /// The elements that hold such numbers as they are.
  var element: ElementType {
    switch self {
    case .f32: .float32
    case .f64: .float64
    case .s32: .int32
    case .s64: .int64
    }
  }
}
