// What keys and values depend on of an adapter, whatever it is called and wherever it was read from.
//
// Invariant: equal digits, equal matrices for equal maps, so that blocks of the cache that one process has computed are those of
// another.

internal import Crypto
internal import Models
internal import Tensors

extension LowRankAdapter {
  /// Digits that differ wherever an adapter does.
  var fingerprint: String {
    var hash = SHA256()
    for (name, map) in maps.sorted(by: { $0.key < $1.key }) {
      hash.update(data: Array("\(name)\n\(map.down.type)\n\(map.up.type)\n".utf8))
      for matrix in [map.down, map.up] {
        withExtendedLifetime(matrix) { hash.update(bufferPointer: UnsafeRawBufferPointer(matrix.bytes)) }
      }
    }
    return hash.finalize().prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
