// Pointers: typed addresses in one of the spaces of memory.
//
// Invariant: `offset` is known while the kernel is built and becomes the displacement of the instruction; everything else is
// in the register. Indices count elements, not bytes.

/// A space of memory with addresses of its own.
public protocol MemorySpace {
  associatedtype Address: IntegerType
  /// As it stands in instructions.
  static var name: String { get }
}

public enum Global: MemorySpace {
  public typealias Address = U64
  public static let name = "global"
}
/// The block's own shared memory.
public enum Shared: MemorySpace {
  public typealias Address = U32
  public static let name = "shared"
}
/// The shared memory of any block of the cluster.
public enum SharedCluster: MemorySpace {
  public typealias Address = U32
  public static let name = "shared::cluster"
}

/// The address of elements.
public struct Pointer<Element: ElementOfMemory, Space: MemorySpace> {
  /// In bytes, without the offset.
  public let base: Value<Space.Address>
  /// In bytes.
  public let offset: Int

  public init(_ base: Value<Space.Address>, offset: Int = 0) { (self.base, self.offset) = (base, offset) }

  private var builder: KernelBuilder { Value<Space.Address>.builder(base.owner) }
  var operand: PTXOperand { .address(base.operand, offset: Int64(offset), coordinates: []) }

  /// The address in bytes.
  public var address: Value<Space.Address> { offset == 0 ? base : base + Value(offset) }

  /// The same address, with elements of another type.
  public func cast<Other: ElementOfMemory>(to type: Other.Type = Other.self) -> Pointer<Other, Space> {
    Pointer<Other, Space>(base, offset: offset)
  }

  /// `index` elements further on.
  public static func + <I: IntegerType>(pointer: Self, index: Value<I>) -> Self {
    let size = Element.memoryType.size
    if let index = index.constant { return pointer.advanced(index) }
    // Index times size in the width of addresses.
    let scaled: Value<Space.Address>
    if I.type.size == Space.Address.type.size {
      scaled = index.seen(as: Space.Address.self) * Value(size)
    } else if I.type.size < Space.Address.type.size {
      let builder = pointer.builder
      let wide = builder.result(
        Space.Address.self, "mad.wide.\(I.type)", index.operand, .integer(Int64(size)), pointer.base.operand)
      return Self(wide, offset: pointer.offset)
    } else {
      scaled = pointer.builder.convert(index, to: Space.Address.self) * Value(size)
    }
    return Self(pointer.base + scaled, offset: pointer.offset)
  }

  /// `count` elements further on.
  public func advanced(_ count: Int) -> Self { Self(base, offset: offset + count * Element.memoryType.size) }

  /// `count` bytes further on.
  public func advanced<I: IntegerType>(bytes count: Value<I>) -> Self {
    let bytes = cast(to: U8.self) + count
    return Self(bytes.base, offset: bytes.offset)
  }

  /// The element at an index.
  public subscript<I: IntegerType>(index: Value<I>) -> Value<Element.Register> {
    get { (self + index).load() }
    nonmutating set { (self + index).store(newValue) }
  }

  /// The element at an index that is known while the kernel is built.
  public subscript(index: Int) -> Value<Element.Register> {
    get { advanced(index).load() }
    nonmutating set { advanced(index).store(newValue) }
  }

  // MARK: Loads and stores

  private func name(_ opcode: String, _ modifiers: [String], _ count: Int) -> String {
    let vector = count > 1 ? ["v\(count)"] : []
    return ([opcode, Space.name] + modifiers + vector + [Element.memoryType.rawValue]).joined(separator: ".")
  }

  /// - Parameter modifiers: what stands between the space and the type, such as `nc` or `L1::no_allocate`.
  public func load(_ modifiers: String...) -> Value<Element.Register> {
    let result = builder.register(Element.Register.self)
    builder.emit(name("ld", modifiers, 1), [result.operand, operand])
    return result
  }

  /// Two, four or eight neighbours at once; the address is a multiple of them all.
  public func load(_ count: Int, _ modifiers: String...) -> [Value<Element.Register>] {
    let results = (0..<count).map { _ in builder.register(Element.Register.self) }
    let operands = results.map(\.operand)
    builder.emit(name("ld", modifiers, count), [count > 1 ? .vector(operands) : operands[0], operand])
    return results
  }

  public func store(_ value: Value<Element.Register>, _ modifiers: String...) {
    builder.emit(name("st", modifiers, 1), [operand, value.operand])
  }

  /// Two, four or eight neighbours at once; the address is a multiple of them all.
  public func store(_ values: [Value<Element.Register>], _ modifiers: String...) {
    let operands = values.map(\.operand)
    builder.emit(name("st", modifiers, values.count), [operand, values.count > 1 ? .vector(operands) : operands[0]])
  }
}
