// Device memory: named allocations with gaps between them, so that a step outside of one hits nothing else.
//
// Invariant: allocations are in order of their addresses, begin at multiples of 256 and are at least 256 bytes apart.

internal import Core

/// Allocations in global memory.
final class GlobalMemory {
  struct Allocation {
    var name: String
    var address: UInt64
    var count: Int
    var bytes: UnsafeMutableRawPointer

    var end: UInt64 { address + UInt64(count) }
  }

  private(set) var allocations: [Allocation] = []
  private(set) var usedBytes = 0
  private var next = AddressMap.global
  /// What was found last: most accesses go where the one before went.
  private(set) var latestExtent: (address: UInt64, count: UInt64, bytes: UnsafeMutableRawPointer)
  private let nowhere: UnsafeMutableRawPointer

  init() {
    nowhere = .allocate(byteCount: 64, alignment: 64)
    latestExtent = (0, 0, nowhere)
  }

  deinit {
    for allocation in allocations { allocation.bytes.deallocate() }
    nowhere.deallocate()
  }

  /// New memory of `count` bytes. What it holds is arbitrary, and the same in every run.
  func allocate(_ count: Int, name: String) -> UInt64 {
    let address = next
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 256)
    bytes.initializeMemory(as: UInt8.self, repeating: 0xA5, count: count)
    allocations.append(Allocation(name: name, address: address, count: count, bytes: bytes))
    next = (address + UInt64(count) + 511) & ~255
    usedBytes += count
    return address
  }

  /// The size of what was given back, nil if nothing begins there.
  func free(_ address: UInt64) -> Int? {
    guard let index = allocations.firstIndex(where: { $0.address == address }) else { return nil }
    let allocation = allocations.remove(at: index)
    allocation.bytes.deallocate()
    usedBytes -= allocation.count
    latestExtent = (0, 0, nowhere)
    return allocation.count
  }

  /// The bytes at `address`, if `count` of them from there on are in one allocation, which then is the latest.
  func pointer(_ address: UInt64, _ count: Int) -> UnsafeMutableRawPointer? {
    guard let index = index(before: address) else { return nil }
    let allocation = allocations[index]
    let offset = address - allocation.address
    guard offset <= UInt64(allocation.count), UInt64(allocation.count) - offset >= UInt64(count) else { return nil }
    latestExtent = (allocation.address, UInt64(allocation.count), allocation.bytes)
    return allocation.bytes + Int(offset)
  }

  /// The allocation that an address is in.
  func index(of address: UInt64) -> Int? {
    index(before: address).flatMap { address < allocations[$0].end ? $0 : nil }
  }

  /// The last allocation that begins at or before an address.
  private func index(before address: UInt64) -> Int? {
    var (low, high) = (0, allocations.count)
    while low < high {
      let middle = (low + high) / 2
      if allocations[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? nil : low - 1
  }

  /// What stands in an error about an address that is in no allocation: the nearest one.
  func neighbourhood(of address: UInt64) -> String {
    func distance(_ allocation: Allocation) -> UInt64 {
      address < allocation.address
        ? allocation.address - address : address >= allocation.end ? address - allocation.end + 1 : 0
    }
    guard let nearest = allocations.min(by: { distance($0) < distance($1) }) else { return "nothing is allocated" }
    let extent = "\"\(nearest.name)\" (\(nearest.count) bytes at 0x\(String(nearest.address, radix: 16)))"
    if address < nearest.address { return "\(nearest.address - address) bytes before \(extent)" }
    if address >= nearest.end { return "\(address - nearest.end) bytes behind the end of \(extent)" }
    return "at byte \(address - nearest.address) of \(extent)"
  }
}
