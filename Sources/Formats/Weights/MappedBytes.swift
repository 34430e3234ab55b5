// Bytes of a mapped file together with what keeps them mapped: how weights reach a model without being copied.

/// A piece of read-only memory that stays valid and unchanging as long as `owner` lives.
package struct MappedBytes: @unchecked Sendable {
  /// The bytes, not necessarily aligned to what they hold.
  package let bytes: UnsafeRawBufferPointer
  /// Keep it for as long as `bytes` is used.
  package let owner: any AnyObject & Sendable
}
