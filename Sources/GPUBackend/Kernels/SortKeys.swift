// Keys to sort by: unsigned numbers, with the element's place in them or beside them, so that no two are equal and any network
// sorts stably.

internal import KernelLanguage
internal import Tensors

/// How keys of an element type are made and kept.
struct SortKeys: Hashable, Sendable {
  let element: ElementType
  let descending: Bool

  /// Elements of 64 bits have their places beside the keys, others in the keys' lower halves.
  var hasPlaces: Bool { element.size == 8 }
  /// Of a key with its place.
  var bytes: Int { hasPlaces ? 12 : 8 }

  struct Key {
    let key: Value<U64>
    let place: Value<U32>?
  }

  /// Behind all elements.
  func last(_ k: KernelBuilder) -> Key {
    Key(key: k.variable(Value(-1)), place: hasPlaces ? k.variable(Value(0xFFFF_FFFF)) : nil)
  }

  func key(_ k: KernelBuilder, _ value: Number, _ place: Value<U32>) -> Key {
    let signed = k.signedKey(value)
    if hasPlaces {
      let rising = signed.seen(as: U64.self) ^ Value(Int(Int64.min))
      return Key(key: descending ? ~rising : rising, place: place)
    }
    let rising = k.convert(signed, to: U32.self) ^ 0x8000_0000
    return Key(key: k.join(place, descending ? ~rising : rising), place: nil)
  }

  /// Declares the address of keys, and of their places if they lie beside them.
  func memory(_ k: KernelBuilder, _ name: String) -> KeyMemory<Global> {
    let pointer = k.pointer(name, to: U64.self)
    return KeyMemory(keys: pointer, places: hasPlaces ? k.pointer("\(name)Places", to: U32.self) : nil)
  }

  /// Exchanges two keys that do not stand in order.
  func exchange<Space: MemorySpace, I: IntegerType>(
    _ k: KernelBuilder, _ memory: KeyMemory<Space>, _ low: Value<I>, _ high: Value<I>, isFalling: Value<Predicate>
  ) {
    let (a, b) = (memory.load(low), memory.load(high))
    k.when(isBefore(b, a) ^ isFalling) {
      memory.store(low, b)
      memory.store(high, a)
    }
  }

  func place(_ k: KernelBuilder, _ key: Key) -> Value<U32> { key.place ?? k.halves(key.key).low }

  func isBefore(_ a: Key, _ b: Key) -> Value<Predicate> {
    guard let placeA = a.place, let placeB = b.place else { return a.key .< b.key }
    return (a.key .< b.key) .| ((a.key .== b.key) .& (placeA .< placeB))
  }
}

/// Keys in memory.
struct KeyMemory<Space: MemorySpace> {
  let keys: Pointer<U64, Space>
  let places: Pointer<U32, Space>?

  func load<I: IntegerType>(_ index: Value<I>) -> SortKeys.Key {
    SortKeys.Key(key: keys[index], place: places.map { $0[index] })
  }

  func store<I: IntegerType>(_ index: Value<I>, _ key: SortKeys.Key) {
    keys[index] = key.key
    if let places, let place = key.place { places[index] = place }
  }
}
