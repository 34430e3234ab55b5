// Memory of a device with an owner: given back when nobody holds it any more.

internal import Tensors

/// Bytes on a device.
final class DeviceBuffer: DeviceMemory {
  let device: any GPUDevice
  /// 0 if there are no bytes.
  let address: UInt64
  let bytes: Int

  init(_ bytes: Int, on device: any GPUDevice, name: String) throws {
    self.device = device
    self.bytes = bytes
    address = bytes > 0 ? try device.allocate(bytes, name: name) : 0
  }

  deinit { if bytes > 0 { device.free(address) } }

  func read(into host: UnsafeMutableRawBufferPointer) {
    guard host.count > 0 else { return }
    do {
      try device.read(address, into: host)
    } catch {
      fatalError("\(device.name) lost the elements of a tensor: \(error)")
    }
  }
}

extension TensorData {
  /// The elements' memory on a device, which is current afterwards.
  func resident(on device: any GPUDevice, name: String) throws -> DeviceBuffer {
    let own = (deviceMemory as? DeviceBuffer).flatMap { $0.device === device ? $0 : nil }
    if let own, isOnDevice { return own }
    let buffer = try own ?? DeviceBuffer(type.bytes, on: device, name: name)
    if type.bytes > 0 { try device.write(readBytes, to: buffer.address) }
    attach(buffer, isNewer: false)
    return buffer
  }
}
