// Which adapters stand in the places that a step has for them: as many as that take part in steps together, whatever the number
// that is known. Those that no running text uses give up their places when others come, those first that were not used for
// longest.
//
// Invariant: an adapter has one place at most, and keeps it as long as it has users.

/// The places for adapters, without their contents.
struct AdapterSlots {
  private struct Slot {
    /// Stands for the adapter; empty: none.
    var adapter = ""
    /// Running texts.
    var users = 0
    /// When the last of them ended.
    var freed: UInt64 = 0
  }

  private var slots: [Slot]
  private var releases: UInt64 = 0

  init(_ count: Int) { slots = Array(repeating: Slot(), count: count) }

  /// Whether a text with an adapter, or with none (empty), can begin.
  func hasRoom(for adapter: String) -> Bool {
    adapter.isEmpty || slots.contains { $0.adapter == adapter || $0.users == 0 }
  }

  /// Running texts that use a place.
  func users(_ slot: Int) -> Int { slots[slot].users }

  /// One more text with an adapter.
  ///
  /// - Returns: its place, and whether it must be written there first; nil: all places are used by others.
  mutating func take(_ adapter: String) -> (slot: Int, isNew: Bool)? {
    if let slot = slots.firstIndex(where: { $0.adapter == adapter }) {
      slots[slot].users += 1
      return (slot, false)
    }
    let free = slots.indices.lazy.filter { [slots] in slots[$0].users == 0 }
    guard let slot = free.min(by: { slots[$0].freed < slots[$1].freed }) else { return nil }
    slots[slot] = Slot(adapter: adapter, users: 1)
    return (slot, true)
  }

  /// One text less in a place.
  mutating func give(_ slot: Int) {
    slots[slot].users -= 1
    precondition(slots[slot].users >= 0, "place \(slot) is given up more often than it was taken")
    releases += 1
    slots[slot].freed = releases
  }
}
