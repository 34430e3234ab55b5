// Tensor maps in memory: the 128 bytes that a generic address names, as a value.
//
// PTX ISA 9.1, "Tensor-map", `tensormap.replace`.

internal import KernelLanguage

enum TensorMapMemory {
  /// The map at a generic address in parameter, constant or global memory.
  static func map(_ warp: Warp, _ lane: Int, _ address: UInt64) throws(EmulatorError) -> TensorMap {
    let launch = warp.launch
    let (space, inside) = AddressMap.resolve(address)
    func wrong(_ problem: String) -> EmulatorError {
      EmulatorError(.tensorMap, lane: lane, "there is no tensor map at 0x\(String(address, radix: 16)): \(problem)")
    }
    guard address % 64 == 0 else { throw wrong("its address must be a multiple of 64: declare it with .align 64") }
    switch space {
    case .param:
      if let known = launch.tensorMaps[inside] { return known }
      guard Int(inside) + TensorMap.encodedBytes <= launch.kernel.parameterBytes else {
        throw wrong("the parameters end before")
      }
      let bytes = UnsafeRawBufferPointer(start: launch.parameters + Int(inside), count: TensorMap.encodedBytes)
      guard let map = TensorMap(encoded: bytes) else { throw wrong("pass one as the argument for this parameter") }
      launch.tensorMaps[inside] = map
      return map
    case .global:
      let place = MemoryPlace.global(address)
      let bytes = try place.bytes(TensorMap.encodedBytes, on: launch.gpu)
      // A map that threads have written is read through a proxy of its own, which a fence must tell.
      let access = warp.order.flatMap {
        AsynchronousAccess(by: warp, 1 << LaneMask(lane), actor: $0.actor, time: $0.epoch)
      }
      try access?.begin(.read, at: place, TensorMap.encodedBytes, needsData: true)
      access?.end(.read, at: place, TensorMap.encodedBytes)
      guard let map = TensorMap(encoded: UnsafeRawBufferPointer(start: bytes, count: TensorMap.encodedBytes)) else {
        throw wrong("copy one there that the host has made")
      }
      guard map.problems.isEmpty else { throw wrong(map.problems.joined(separator: "; ")) }
      return map
    case .shared, .local: throw wrong("it must be in parameter, constant or global memory")
    }
  }
}
