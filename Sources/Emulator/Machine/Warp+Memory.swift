// How the lanes of a warp reach memory: addresses to bytes, with all checks, and the counts of what was moved.
//
// Invariant: after `locate`, each lane has an aligned address and bytes that exist; nothing was read or written yet, and the observer
// has agreed.

internal import KernelLanguage

/// What a load, a store or an atomic instruction asks of memory.
struct AccessForm {
  /// nil: a generic address says it.
  var space: MemorySpace?
  var kind: MemoryAccess.Kind
  var order: MemoryAccess.Order
  var scope: MemoryAccess.Scope
  /// Of a lane, which is also what its address must be a multiple of.
  var bytes: Int
}

extension Warp {
  /// Finds the bytes of each lane: `pointers[lane]`.
  @inline(__always)
  func locate(_ operand: AddressOperand, _ form: AccessForm, _ lanes: LaneMask) throws(EmulatorError) {
    try fillAddresses(operand, lanes)
    switch form.space {
    case .global:
      try locateGlobal(lanes, form)
      try tell(.global, form, lanes)
    case .shared:
      try locateShared(lanes, form)
      try tell(.shared, form, lanes)
    case .local: try locateLocal(lanes, form)
    case .param: try locateParameter(lanes, form)
    case nil: try locateGeneric(lanes, form)
    }
  }

  @inline(__always)
  private func fillAddresses(_ operand: AddressOperand, _ lanes: LaneMask) throws(EmulatorError) {
    try requireReadable(operand.base, lanes)
    let offset = UInt64(bitPattern: operand.offset)
    let addresses = addresses
    if operand.base.width == .long {
      let base = longs(operand.base)
      for lane in 0..<32 { addresses[lane] = base[lane] &+ offset }
    } else {
      let base = words(operand.base)
      for lane in 0..<32 { addresses[lane] = UInt64(base[lane] &+ UInt32(truncatingIfNeeded: offset)) }
    }
  }

  /// Lanes may point into different spaces: each is looked at for itself.
  private func locateGeneric(_ lanes: LaneMask, _ form: AccessForm) throws(EmulatorError) {
    var masks: [MemorySpace: LaneMask] = [:]
    Lanes.each(lanes) { lane in
      let (space, address) = AddressMap.resolve(addresses[lane])
      addresses[lane] = address
      masks[space, default: 0] |= 1 << LaneMask(lane)
    }
    for space in [MemorySpace.global, .shared, .local, .param] {
      guard let mask = masks[space] else { continue }
      switch space {
      case .global: try locateGlobal(mask, form)
      case .shared: try locateShared(mask, form)
      case .local: try locateLocal(mask, form)
      case .param: try locateParameter(mask, form)
      }
    }
    for space in [MemorySpace.global, .shared] {
      if let mask = masks[space] { try tell(space, form, mask) }
    }
  }

  private func tell(_ space: MemorySpace, _ form: AccessForm, _ lanes: LaneMask) throws(EmulatorError) {
    guard let observer else { return }
    let access = MemoryAccess(
      space: space, kind: form.kind, order: form.order, scope: form.scope, bytes: form.bytes, lanes: lanes)
    try observer.access(access, at: addresses, by: self)
  }

  // MARK: Spaces

  private func locateGlobal(_ lanes: LaneMask, _ form: AccessForm) throws(EmulatorError) {
    let (addresses, pointers, count) = (addresses, pointers, form.bytes)
    try requireAligned(lanes, form, "global")
    let memory = launch.gpu.memory
    var missing: LaneMask = 0
    let (base, size, bytes) = memory.latestExtent
    let room = size >= UInt64(count) ? size - UInt64(count) : 0
    Lanes.each(lanes) { lane in
      let offset = addresses[lane] &- base
      let fits = offset <= room && size >= UInt64(count)
      pointers[lane] = bytes + Int(truncatingIfNeeded: fits ? offset : 0)
      missing |= (fits ? 0 : 1) << LaneMask(truncatingIfNeeded: lane)
    }
    while missing != 0 {
      let lane = missing.trailingZeroBitCount
      guard let pointer = memory.pointer(addresses[lane], count) else {
        throw EmulatorError(
          .outOfBounds, lane: lane,
          "\(count) bytes at global address 0x\(String(addresses[lane], radix: 16)), "
            + "\(memory.neighbourhood(of: addresses[lane])): mend the index, or guard the access with a predicate")
      }
      pointers[lane] = pointer
      missing &= missing &- 1
    }
    countGlobal(lanes, form)
  }

  private func locateShared(_ lanes: LaneMask, _ form: AccessForm) throws(EmulatorError) {
    let (addresses, pointers, count) = (addresses, pointers, form.bytes)
    try requireAligned(lanes, form, "shared")
    let first = UInt64(AddressMap.sharedAddress(rank: block.rank, offset: Chip.reservedSharedBytes))
    let size = block.sharedBytes - Chip.reservedSharedBytes - count
    let bytes = block.shared + Chip.reservedSharedBytes
    var missing: LaneMask = 0
    Lanes.each(lanes) { lane in
      let offset = addresses[lane] &- first
      let fits = size >= 0 && offset <= UInt64(truncatingIfNeeded: size)
      pointers[lane] = bytes + Int(truncatingIfNeeded: fits ? offset : 0)
      missing |= (fits ? 0 : 1) << LaneMask(truncatingIfNeeded: lane)
    }
    while missing != 0 {
      let lane = missing.trailingZeroBitCount
      pointers[lane] = try block.resolve(shared: addresses[lane], count, lane: lane).bytes
      missing &= missing &- 1
    }
    countShared(lanes, count)
  }

  private func locateLocal(_ lanes: LaneMask, _ form: AccessForm) throws(EmulatorError) {
    try requireAligned(lanes, form, "local")
    try locate(lanes, form, "local", end: kernel.localBytes) { local + $0 * kernel.localBytes }
  }

  private func locateParameter(_ lanes: LaneMask, _ form: AccessForm) throws(EmulatorError) {
    try requireAligned(lanes, form, "parameter")
    guard form.kind == .read else {
      throw EmulatorError(
        .outOfBounds, lane: lanes.trailingZeroBitCount, "parameters cannot be written: copy them into registers first")
    }
    try locate(lanes, form, "parameter", end: kernel.parameterBytes) { _ in launch.parameters }
  }

  private func locate(
    _ lanes: LaneMask, _ form: AccessForm, _ space: String, end: Int, _ bytes: (Int) -> UnsafeMutableRawPointer
  ) throws(EmulatorError) {
    let count = UInt64(form.bytes)
    let outside = Lanes.mask(lanes) { addresses[$0] >= UInt64(end) || UInt64(end) - addresses[$0] < count }
    guard outside == 0 else {
      let lane = outside.trailingZeroBitCount
      throw EmulatorError(
        .outOfBounds, lane: lane,
        "\(count) bytes at \(space) address 0x\(String(addresses[lane], radix: 16)) are outside of the kernel's "
          + "\(end) bytes of it: mend the offset")
    }
    Lanes.each(lanes) { pointers[$0] = bytes($0) + Int(addresses[$0]) }
  }

  private func requireAligned(_ lanes: LaneMask, _ form: AccessForm, _ space: String) throws(EmulatorError) {
    let low = UInt64(form.bytes - 1)
    var all: UInt64 = 0
    Lanes.each(lanes) { all |= addresses[$0] }
    guard all & low != 0 else { return }
    let lane = Lanes.mask(lanes) { addresses[$0] & low != 0 }.trailingZeroBitCount
    throw EmulatorError(
      .misaligned, lane: lane,
      "\(form.bytes) bytes at \(space) address 0x\(String(addresses[lane], radix: 16)), which is no multiple of "
        + "\(form.bytes): align the address, or use narrower accesses")
  }

  // MARK: Counts

  /// Sectors of 32 bytes that the lanes touch together.
  private func countGlobal(_ lanes: LaneMask, _ form: AccessForm) {
    var sectors = 0
    var before = UInt64.max
    var isOrdered = true
    Lanes.each(lanes) { lane in
      let sector = addresses[lane] >> 5
      isOrdered = isOrdered && (before == .max || sector >= before)
      sectors += sector != before ? 1 : 0
      before = sector
    }
    if !isOrdered {
      var seen = Set<UInt64>()
      Lanes.each(lanes) { seen.insert(addresses[$0] >> 5) }
      sectors = seen.count
    }
    let bytes = form.bytes * lanes.nonzeroBitCount
    if form.kind == .read {
      counters.pointee.globalLoadSectors += sectors
      counters.pointee.globalLoadBytes += bytes
    } else {
      counters.pointee.globalStoreSectors += sectors
      counters.pointee.globalStoreBytes += bytes
    }
  }

  /// Passes of 128 bytes: lanes that fit into one are looked at together, and each bank gives one word a pass.
  func countShared(_ lanes: LaneMask, _ bytes: Int) {
    counters.pointee.sharedBytes += bytes * lanes.nonzeroBitCount
    let group = min(32, 128 / max(bytes, 4))
    var passes = 0
    var least = 0
    // Most often lanes follow each other.
    if lanes == .max, bytes >= 4 {
      var inOrder = true
      for lane in 1..<32 { inOrder = inOrder && addresses[lane] == addresses[0] &+ UInt64(lane * bytes) }
      if inOrder {
        counters.pointee.sharedPasses += 32 / group
        return
      }
    }
    for first in stride(from: 0, to: 32, by: group) {
      let mask = lanes & (group == 32 ? .max : ((1 << LaneMask(group)) - 1) << LaneMask(first))
      guard mask != 0 else { continue }
      least += 1
      passes += SharedBanks.passes(addresses, mask, words: max(bytes / 4, 1))
    }
    counters.pointee.sharedPasses += passes
    counters.pointee.sharedConflicts += passes - least
  }
}

/// The 32 banks of shared memory, 4 bytes wide.
enum SharedBanks {
  /// How many different words the busiest bank has to give.
  static func passes(_ addresses: UnsafePointer<UInt64>, _ lanes: LaneMask, words: Int) -> Int {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 32 * 32) { wanted in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { counts in
        counts.initialize(repeating: 0)
        var most = 1
        Lanes.each(lanes) { lane in
          for part in 0..<words {
            let word = addresses[lane] >> 2 &+ UInt64(part)
            let bank = Int(word & 31)
            let count = Int(counts[bank])
            var isNew = true
            for other in 0..<count where wanted[bank * 32 + other] == word { isNew = false }
            if isNew, count < 32 {
              wanted[bank * 32 + count] = word
              counts[bank] += 1
              most = max(most, count + 1)
            }
          }
        }
        return most
      }
    }
  }
}
