// The platform's C library, for every file that imports `Core`: which module it is, is known here alone.

#if canImport(Glibc)
  @_exported public import Glibc
#elseif canImport(Musl)
  @_exported public import Musl
#else
  @_exported public import Darwin
#endif
