// What the driver's numbers mean, and what to do about the usual ones.
//
// CUDA driver API 13.0, CUresult.

internal import CDrivers

extension GPUError {
  /// The error of a call that the driver refused.
  ///
  /// - Parameters:
  ///   - operation: completes "Cannot …".
  ///   - details: what else is known, in whole sentences.
  init(result: cuda_result, _ operation: String, details: String = "", of driver: cuda_driver) {
    let (code, remedy) = Self.meaning(of: result)
    let sentences = [
      "Cannot \(operation): the driver says \(Self.name(of: result, of: driver)).", details, remedy,
    ]
    self.init(code, sentences.filter { !$0.isEmpty }.joined(separator: " "))
  }

  /// `CUDA_ERROR_INVALID_PTX (a PTX JIT compilation failed)`
  private static func name(of result: cuda_result, of driver: cuda_driver) -> String {
    var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?) = (nil, nil)
    _ = driver.cuGetErrorName(result, &name)
    _ = driver.cuGetErrorString(result, &text)
    guard let name else { return "error \(result.rawValue), which it has no name for" }
    return text.map { "\(String(cString: name)) (\(String(cString: $0)))" } ?? String(cString: name)
  }

  /// A code, and a remedy in whole sentences or nothing.
  private static func meaning(of result: cuda_result) -> (Code, String) {
    switch result {
    case CUDA_ERROR_OUT_OF_MEMORY:
      (.memory, "Take a smaller batch, context or model, or end other programs on this device (nvidia-smi lists them).")
    case CUDA_ERROR_NO_DEVICE:
      (
        .noDevice,
        "No device is visible: see what nvidia-smi lists, what CUDA_VISIBLE_DEVICES says, and whether a container was "
          + "given its devices (docker run --gpus all)."
      )
    case CUDA_ERROR_INVALID_DEVICE:
      (.noDevice, "nvidia-smi lists the devices; numbers begin at 0.")
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
      (
        .noDevice,
        "Another program has this device for itself, or its compute mode forbids it (nvidia-smi -q -d COMPUTE)."
      )
    case CUDA_ERROR_STUB_LIBRARY:
      (
        .noDevice,
        "This libcuda.so.1 is the toolkit's, for linking only: take its folder ('stubs') out of LD_LIBRARY_PATH."
      )
    case CUDA_ERROR_SYSTEM_NOT_READY:
      (.noDevice, "On machines with NVSwitch the fabric manager must run: systemctl start nvidia-fabricmanager.")
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
      (
        .noDevice,
        "The driver's library and its kernel module have different versions: restart the machine, or the container, "
          + "after the update."
      )
    case CUDA_ERROR_UNKNOWN:
      (.driver, "See dmesg for lines with 'NVRM'; after an update or with lost devices, restart the machine.")
    case CUDA_ERROR_INVALID_PTX:
      (.assembly, "The kernel's PTX is wrong; assemble it with ptxas, which says where.")
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
      (
        .assembly,
        "The driver is older than the kernel's PTX version: 8.0 needs driver 525, 8.6 needs 565, 9.0 needs 580. Update it."
      )
    case CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_INVALID_IMAGE:
      (.assembly, "The kernel was made for another chip: names that end in 'a' run on that chip only.")
    case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
      (
        .assembly,
        "The driver's assembler (libnvidia-ptxjitcompiler.so.1) is missing: install the driver wholly, or give the "
          + "container the 'compute' and 'utility' capabilities."
      )
    case CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS, CUDA_ERROR_INVALID_ADDRESS_SPACE,
      CUDA_ERROR_ILLEGAL_INSTRUCTION, CUDA_ERROR_INVALID_PC, CUDA_ERROR_HARDWARE_STACK_ERROR, CUDA_ERROR_LAUNCH_FAILED,
      CUDA_ERROR_ASSERT, CUDA_ERROR_TENSOR_MEMORY_LEAK:
      (
        .driver,
        "A kernel that was started before did this, not necessarily the last one, and the device is lost to this "
          + "process. Run the same with --device emulator: it names the kernel, the instruction and the thread."
      )
    case CUDA_ERROR_LAUNCH_TIMEOUT:
      (.driver, "A display's watchdog ends long kernels: use a device without a display.")
    case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
      (.driver, "The kernel needs more registers or shared memory than a multiprocessor has with so many threads.")
    case CUDA_ERROR_INVALID_CLUSTER_SIZE:
      (.driver, "So many blocks of this size do not fit into a cluster of this device.")
    case CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE:
      (.driver, "A cooperative launch has no more blocks than can run at the same time.")
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED:
      (.driver, "Within a recording there may be only launches, and copies and fills on the device.")
    case CUDA_ERROR_ECC_UNCORRECTABLE:
      (.driver, "The device's memory is damaged: reset or replace it (nvidia-smi -q -d ECC).")
    default: (.driver, "")
    }
  }
}
