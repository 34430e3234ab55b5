// Where the elements of a `TensorData` are: on the host, on a device, or on both.
//
// Invariant: at least one side is current. Whoever takes a pointer to the host's memory may write there, so from then on the
// device's side is old; a run that writes the device's memory makes the host's side old, until somebody looks.

import Synchronization

/// Memory of a device that belongs to one `TensorData`.
package protocol DeviceMemory: AnyObject, Sendable {
  /// Waits for what writes the memory, and brings it to the host. A device that cannot do even this ends the process: there is
  /// nobody to whom the reader of a number could hand an error.
  func read(into host: UnsafeMutableRawBufferPointer)
}

/// Which side is current, and the device's memory if there is any.
struct Residence: ~Copyable, Sendable {
  enum Side: UInt8, AtomicRepresentable { case host, both, device }

  /// Read without the lock by whoever touches the host's side, which is on the way of every element.
  private let current = Atomic<Side>(.host)
  private let memory = Mutex<(any DeviceMemory)?>(nil)

  /// Makes the host's side current.
  func settle(_ host: UnsafeMutableRawBufferPointer) {
    guard current.load(ordering: .acquiring) == .device else { return }
    memory.withLock { memory in
      guard current.load(ordering: .relaxed) == .device else { return }
      memory?.read(into: host)
      current.store(.both, ordering: .releasing)
    }
  }

  /// Makes the host's side current, and the only one.
  func claim(_ host: UnsafeMutableRawBufferPointer) {
    guard current.load(ordering: .acquiring) != .host else { return }
    settle(host)
    current.store(.host, ordering: .releasing)
  }

  var deviceMemory: (any DeviceMemory)? { memory.withLock { $0 } }
  var isOnDevice: Bool { current.load(ordering: .acquiring) != .host }

  /// - Parameter isNewer: whether the host's side is old now; else both are current.
  func attach(_ deviceMemory: any DeviceMemory, isNewer: Bool) {
    memory.withLock { $0 = deviceMemory }
    current.store(isNewer ? .device : .both, ordering: .releasing)
  }
}

extension TensorData {
  /// Memory of a device that was attached, whether it is current or not.
  package var deviceMemory: (any DeviceMemory)? { residence.deviceMemory }

  /// Whether the attached memory holds the elements.
  package var isOnDevice: Bool { residence.isOnDevice }

  /// Says that a device's memory holds the elements.
  ///
  /// - Parameter isNewer: whether a run wrote them there, so that those on the host are old; else both sides are equal.
  package func attach(_ memory: any DeviceMemory, isNewer: Bool) { residence.attach(memory, isNewer: isNewer) }

  /// The elements on the host, for reading only: what is on a device stays there.
  package var readBytes: UnsafeRawBufferPointer {
    residence.settle(hostBytes)
    return UnsafeRawBufferPointer(hostBytes)
  }
}
