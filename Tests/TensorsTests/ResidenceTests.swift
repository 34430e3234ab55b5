import Synchronization
import Tensors
import Testing

/// Elements that are on a device and come to the host when somebody looks.
@Suite struct ResidenceTests {
  /// Device memory with one number, which counts how often it is brought to the host.
  private final class Memory: DeviceMemory {
    let value: Float
    let reads = Mutex(0)
    init(_ value: Float) { self.value = value }

    func read(into host: UnsafeMutableRawBufferPointer) {
      reads.withLock { $0 += 1 }
      host.storeBytes(of: value, as: Float.self)
    }
  }

  @Test func `Elements come to the host once, and stay on the device while they are only read`() {
    let data = TensorData([1.0], shape: [])
    let memory = Memory(7)
    data.attach(memory, isNewer: true)
    #expect(memory.reads.withLock { $0 } == 0)
    #expect(data.item == 7 && data.floats == [7] && data.copy().item == 7 && data.readBytes.load(as: Float.self) == 7)
    #expect(memory.reads.withLock { $0 } == 1)
    #expect(data.isOnDevice)
  }

  @Test func `Whoever takes the pointer takes the elements from the device`() {
    let data = TensorData([1.0], shape: [])
    data.attach(Memory(7), isNewer: true)
    #expect(data.pointer.load(as: Float.self) == 7)
    #expect(!data.isOnDevice && data.deviceMemory != nil)
    data.attach(Memory(7), isNewer: true)
    data[0] = .float(3)
    #expect(!data.isOnDevice && data.item == 3)
    data.attach(Memory(8), isNewer: true)
    data.assign(TensorData([4.0], shape: []))
    #expect(!data.isOnDevice && data.item == 4)
  }

  @Test func `Memory that is equal is not read`() {
    let data = TensorData([1.0], shape: [])
    let memory = Memory(7)
    data.attach(memory, isNewer: false)
    #expect(data.isOnDevice && data.item == 1)
    #expect(data.pointer.load(as: Float.self) == 1 && !data.isOnDevice)
    #expect(memory.reads.withLock { $0 } == 0)
  }

  @Test func `Assigning takes what is on the other's device`() {
    let (data, other) = (TensorData([1.0], shape: []), TensorData([2.0], shape: []))
    other.attach(Memory(9), isNewer: true)
    data.assign(other)
    #expect(data.item == 9 && other.isOnDevice)
  }
}
