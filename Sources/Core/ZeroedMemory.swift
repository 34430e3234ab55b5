// Memory for tensors: zero without being written to, aligned, and on large pages where it is large.
//
// Large blocks come from the operating system page by page, when they are first touched. On 2 MiB pages that is one fault
// instead of 512, and a matrix product walks through far fewer entries of the translation table.

/// Blocks of zeroed memory.
package enum ZeroedMemory {
  /// From this size on blocks are mapped for themselves.
  private static let large = 1 << 20
  private static let hugePage = 2 << 20

  /// `bytes` zero bytes, 64-byte aligned; to be given back by `deallocate` with the same count.
  package static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
    if bytes < large {
      let count = max(bytes, 64)
      let pointer = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
      pointer.initializeMemory(as: UInt8.self, repeating: 0, count: count)
      return pointer
    }
    // Room to begin at a multiple of a huge page; what is left over on both sides is given back at once.
    let size = mapped(bytes)
    let flags = MAP_PRIVATE | anonymous
    guard let raw = mmap(nil, size + hugePage, PROT_READ | PROT_WRITE, flags, -1, 0), raw != MAP_FAILED else {
      fatalError("no memory for \(bytes) bytes: use a smaller model, batch or length")
    }
    let address = Int(bitPattern: raw)
    let start = (address + hugePage - 1) / hugePage * hugePage
    if start > address { munmap(raw, start - address) }
    let tail = address + hugePage - start
    if tail > 0 { munmap(UnsafeMutableRawPointer(bitPattern: start + size)!, tail) }
    let pointer = UnsafeMutableRawPointer(bitPattern: start)!
    #if os(Linux)
      madvise(pointer, size, 14)  // MADV_HUGEPAGE; a kernel without it says no, and nothing is lost
    #endif
    return pointer
  }

  package static func deallocate(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
    if bytes < large {
      pointer.deallocate()
    } else {
      munmap(pointer, mapped(bytes))
    }
  }

  /// Whole pages of whatever size the machine has; where the last huge page is not full, small ones take its place.
  private static func mapped(_ bytes: Int) -> Int { (bytes + 0xFFFF) / 0x10000 * 0x10000 }

  #if os(Linux)
    private static let anonymous = MAP_ANONYMOUS
  #else
    private static let anonymous = MAP_ANON
  #endif
}
