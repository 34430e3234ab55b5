// What is remembered of a stretch of memory: for each byte whether anything was written to it, and for each granule of
// 16 bytes the last accesses.
//
// Invariant: records that are kept are such that whoever is ordered behind all of them is ordered behind all accesses
// that they stand for: a write that was ordered behind older accesses takes their place, and so does a read by the
// same actor. There is room for four; what finds none pushes out another one, which can hide a race and never invents
// one.

/// The shadow of a block's shared memory, or of a page of global memory.
final class Shadow {
  static let slots = 4
  let granules: Int
  /// One bit for each byte of a granule.
  let initialised: UnsafeMutablePointer<UInt16>
  /// Made when something is recorded for the first time.
  @exclusivity(unchecked) private var storage: UnsafeMutablePointer<AccessRecord>?

  /// Where bits and records are, for a time in which nothing is forgotten.
  struct Window {
    unowned(unsafe) let shadow: Shadow
    let initialised: UnsafeMutablePointer<UInt16>
    let records: UnsafeMutablePointer<AccessRecord>
  }

  var window: Window {
    @inline(__always) get {
      Window(shadow: self, initialised: initialised, records: storage ?? makeStorage())
    }
  }

  /// A shadow of memory that nobody has written to. Its size is rounded up to whole granules.
  init(bytes: Int) {
    granules = (bytes + 15) >> granuleShift
    initialised = .allocate(capacity: granules)
    initialised.initialize(repeating: 0, count: granules)
  }

  deinit {
    initialised.deallocate()
    storage?.deallocate()
  }

  private func makeStorage() -> UnsafeMutablePointer<AccessRecord> {
    let storage = UnsafeMutablePointer<AccessRecord>.allocate(capacity: granules * Shadow.slots)
    // A record of zeros is no record.
    UnsafeMutableRawPointer(storage).initializeMemory(
      as: UInt8.self, repeating: 0, count: granules * Shadow.slots * MemoryLayout<AccessRecord>.stride)
    self.storage = storage
    return storage
  }

  /// Forgets all accesses.
  func forget() {
    storage?.deallocate()
    storage = nil
  }

  /// The bits of `count` bytes from byte `start` of a granule on.
  @inline(__always)
  static func mask(_ start: Int, _ count: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: ((1 << count) - 1) << start)
  }

  /// Calls `body` with each granule of a range and the bytes of it that are in the range.
  @inline(__always)
  static func forEachGranule<E>(
    _ offset: Int, _ count: Int, _ body: (_ granule: Int, _ bytes: UInt16) throws(E) -> Void
  ) throws(E) {
    var place = offset
    let end = offset + count
    while place < end {
      let start = place & 15
      let length = min(16 - start, end - place)
      try body(place >> granuleShift, mask(start, length))
      place += length
    }
  }

  /// Marks bytes as written, or as never written.
  func mark(_ offset: Int, _ count: Int, initialised isInitialised: Bool) {
    Shadow.forEachGranule(offset, count) { granule, bytes in
      if isInitialised { initialised[granule] |= bytes } else { initialised[granule] &= ~bytes }
    }
  }

  /// Marks bytes as written where `source` has written ones: a copy of bytes takes over what they are.
  func mark(_ offset: Int, _ count: Int, as source: Shadow, at sourceOffset: Int) {
    // Copies go by 16 bytes, with the same places in a granule; others go byte by byte.
    guard (offset ^ sourceOffset) & 15 == 0 else {
      for byte in 0..<count {
        mark(offset + byte, 1, initialised: source.firstUninitialised(sourceOffset + byte, 1) == nil)
      }
      return
    }
    let shift = sourceOffset >> granuleShift - offset >> granuleShift
    Shadow.forEachGranule(offset, count) { granule, bytes in
      initialised[granule] = initialised[granule] & ~bytes | source.initialised[granule + shift] & bytes
    }
  }

  /// The first of `count` bytes that nobody has written to.
  func firstUninitialised(_ offset: Int, _ count: Int) -> Int? {
    var found: Int?
    Shadow.forEachGranule(offset, count) { granule, bytes in
      let missing = bytes & ~initialised[granule]
      if missing != 0, found == nil { found = granule << granuleShift + missing.trailingZeroBitCount }
    }
    return found
  }
}

/// The shadow of global memory: pages, made when they are first needed.
final class GlobalShadow {
  static let pageShift: UInt64 = 16
  static let pageBytes = 1 << 16

  private(set) var pages: [UInt64: Shadow] = [:]
  @exclusivity(unchecked) private var latest: (number: UInt64, page: Shadow)?

  /// The page that an address is in.
  @inline(__always)
  func page(_ address: UInt64) -> Shadow {
    let number = address >> GlobalShadow.pageShift
    if let latest, latest.number == number { return latest.page }
    return find(number)
  }

  private func find(_ number: UInt64) -> Shadow {
    let page = pages[number] ?? Shadow(bytes: GlobalShadow.pageBytes)
    pages[number] = page
    latest = (number, page)
    return page
  }

  /// Marks bytes as written, or as never written.
  func mark(_ address: UInt64, _ count: Int, initialised: Bool) {
    forEachPart(address, count) { page, offset, count in page.mark(offset, count, initialised: initialised) }
  }

  /// Calls `body` with each page of a range and the part of the range in it.
  @inline(__always)
  func forEachPart<E>(
    _ address: UInt64, _ count: Int, _ body: (_ page: Shadow, _ offset: Int, _ count: Int) throws(E) -> Void
  ) throws(E) {
    var (place, rest) = (address, count)
    while rest > 0 {
      let offset = Int(place) & (GlobalShadow.pageBytes - 1)
      let length = min(GlobalShadow.pageBytes - offset, rest)
      try body(page(place), offset, length)
      place += UInt64(length)
      rest -= length
    }
  }

  /// Gives up the pages of memory that was freed: addresses are not used again.
  func free(_ address: UInt64, _ count: Int) {
    latest = nil
    let last = (address + UInt64(count)) >> GlobalShadow.pageShift
    var number = (address + UInt64(GlobalShadow.pageBytes - 1)) >> GlobalShadow.pageShift
    while number < last {
      pages[number] = nil
      number += 1
    }
  }

  /// Forgets all accesses.
  func forget() { for page in pages.values { page.forget() } }
}
