// `errno` and its text, where each C library keeps them.

/// The calling thread's `errno`. Read it before anything else can change it.
public func systemErrno() -> Int32 { errno }

/// The C library's text for an `errno` value.
func systemMessage(_ code: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 256)
  // Swift imports the POSIX variant, which fills the buffer.
  guard strerror_r(code, &buffer, buffer.count) == 0 else { return "unknown error" }
  return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}
