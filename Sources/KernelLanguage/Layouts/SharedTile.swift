// A tile in shared memory: a layout with a place.

/// A tile of a matrix in shared memory.
public struct SharedTile<Element: ElementOfMemory> {
  public let layout: TileLayout
  public let pointer: Pointer<Element, Shared>

  public init(_ layout: TileLayout, _ pointer: Pointer<Element, Shared>) {
    precondition(layout.element.size == Element.memoryType.size, "the layout's elements have another size")
    (self.layout, self.pointer) = (layout, pointer)
  }

  private var builder: KernelBuilder { Value<U32>.builder(pointer.base.owner) }

  /// Where a chunk of 16 bytes lies, for `ldmatrix`, `stmatrix` and vector accesses.
  ///
  /// - Parameters:
  ///   - row: of the tile.
  ///   - chunk: of the row, counted over all panels.
  public func chunk(row: Value<U32>, _ chunk: Value<U32>) -> Pointer<Element, Shared> {
    let span = layout.swizzle.span
    let mask = span / 16 - 1
    let perPanel = span / 16
    // Bits 4 and up of the place are the chunk, those from 7 on are added to them: of the row's place, bit 7 on.
    let rowPlace = row * Value(span)
    let inPanel: Value<U32>
    var place = rowPlace
    if layout.panels > 1 {
      inPanel = chunk & Value(perPanel - 1)
      place = place + (chunk / Value(perPanel)) * Value(layout.panelBytes)
    } else {
      inPanel = chunk
    }
    let permuted = mask == 0 ? inPanel : inPanel ^ ((rowPlace >> 7) & Value(mask))
    return pointer.advanced(bytes: place + (permuted << 4))
  }

  /// Where one element lies.
  public func element(row: Value<U32>, column: Value<U32>) -> Pointer<Element, Shared> {
    let perChunk = 16 / layout.element.size
    return chunk(row: row, column / Value(perChunk)).advanced(
      bytes: (column & Value(perChunk - 1)) * Value(layout.element.size))
  }

  /// The beginning of panel `index`.
  public func panel(_ index: Int) -> Pointer<Element, Shared> {
    Pointer(pointer.base, offset: pointer.offset + index * layout.panelBytes)
  }

  /// The descriptor by which matrix instructions read the tile.
  ///
  /// - Parameters:
  ///   - major: `.k` where a row of the tile is a row of the operand (its columns are summed over), `.mn` where a column is.
  ///   - generation: of the instructions, by the target.
  public func descriptor(_ major: KernelBuilder.Major = .k) -> Value<U64> {
    let bits = layout.descriptorBits(major, tensorMemory: builder.target == .sm100a)
    let address = builder.convert((pointer.address & 0x3FFFF) >> 4, to: U64.self)
    return address | Value(.integer(Int64(bitPattern: bits)), nil)
  }
}

extension TileLayout {
  /// The constant part of the matrix descriptor: all but the address.
  ///
  /// K-major: rows of `span` bytes, 8 of which are a pattern, so patterns are `8 · span` bytes apart. MN-major: a pattern is
  /// `span` bytes along the other axis times 8 along the summed one; patterns follow each other along the summed axis, and panels
  /// are `panelBytes` apart.
  ///
  /// - Parameter tensorMemory: whether for `tcgen05` (sm_100a), whose descriptors number swizzles in another way.
  public func descriptorBits(_ major: KernelBuilder.Major, tensorMemory: Bool) -> UInt64 {
    precondition(swizzle != .none, "operands of matrix instructions are swizzled here")
    precondition(major == .k || element.size == 2, "only operands of 16 bits can have the summed axis strided")
    let stride = UInt64(8 * swizzle.span) >> 4
    let leading = major == .k ? 1 : UInt64(panelBytes) >> 4
    var bits = leading << 16 | stride << 32
    if tensorMemory {
      let code: UInt64 = swizzle == .bytes128 ? 2 : swizzle == .bytes64 ? 4 : 6
      bits |= 1 << 46 | code << 61
    } else {
      let code: UInt64 = swizzle == .bytes128 ? 1 : swizzle == .bytes64 ? 2 : 3
      bits |= code << 62
    }
    return bits
  }

  /// What to add to a descriptor for step `index` along the summed axis, 32 bytes of it each (K-major) or as many elements
  /// (MN-major).
  public func descriptorStep(_ index: Int, _ major: KernelBuilder.Major) -> Int {
    switch major {
    case .k:
      let (panel, inside) = (index * 32).quotientAndRemainder(dividingBy: swizzle.span)
      return (panel * panelBytes + inside) >> 4
    case .mn: return index * (32 / element.size) * swizzle.span >> 4
    }
  }

  /// What to add to a descriptor for the rows from `row` on (K-major), or the columns from `row` on (MN-major).
  public func descriptorOffset(from row: Int, _ major: KernelBuilder.Major) -> Int {
    switch major {
    case .k:
      precondition(row % 8 == 0, "operands begin at a pattern")
      return row * swizzle.span >> 4
    case .mn:
      precondition(row % panelColumns == 0, "operands begin at a panel")
      return row / panelColumns * panelBytes >> 4
    }
  }
}

extension KernelBuilder {
  /// Sets room for a tile aside, or for `count` of them, one behind the other.
  public func tile<E: ElementOfMemory>(_ layout: TileLayout, of element: E.Type, count: Int = 1) -> SharedTiles<E> {
    SharedTiles(
      layout: layout, count: count,
      first: shared(element, count: layout.rows * layout.columns * count, alignment: layout.alignment))
  }
}

/// Tiles of one layout, one behind the other.
public struct SharedTiles<Element: ElementOfMemory> {
  public let layout: TileLayout
  public let count: Int
  public let first: Pointer<Element, Shared>

  public subscript(index: Int) -> SharedTile<Element> {
    SharedTile(layout, Pointer(first.base, offset: first.offset + index * layout.bytes))
  }

  public subscript(index: Value<U32>) -> SharedTile<Element> {
    SharedTile(layout, first.advanced(bytes: index * Value(layout.bytes)))
  }
}
