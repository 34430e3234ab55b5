// Tensor maps in the form that a GPU reads, which only the driver knows.
//
// CUDA driver API 13.0, cuTensorMapEncodeTiled.

internal import CDrivers
internal import KernelLanguage

extension CUDADevice {
  /// Writes a map's 128 bytes to a place that is a multiple of 64.
  func encode(_ map: TensorMap, into place: UnsafeMutableRawPointer) throws(GPUError) {
    let problems = map.problems
    guard problems.isEmpty else {
      throw GPUError(.driver, "Cannot make a tensor map: \(problems.joined(separator: "; ")).")
    }
    let dimensions = map.dimensions.map { UInt64($0) }
    // Of one axis there are no strides, but there is a place for them.
    let strides = map.strides.map { UInt64($0) } + [0]
    let (box, steps) = (map.box.map { UInt32($0) }, map.elementStrides.map { UInt32($0) })
    try call("make a tensor map of \(map.dimensions) elements in boxes of \(map.box)") { driver in
      driver.cuTensorMapEncodeTiled(
        place, UInt32(map.element.rawValue), UInt32(dimensions.count),
        UnsafeMutableRawPointer(bitPattern: UInt(map.address)),
        dimensions, strides, box, steps, 0, UInt32(map.swizzle.rawValue), UInt32(map.promotion.rawValue),
        UInt32(map.fill.rawValue))
    }
  }
}
