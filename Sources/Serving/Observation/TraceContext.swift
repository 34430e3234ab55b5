// Which trace a request belongs to: W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context/), the header `traceparent`.

internal import Core

/// A place in a trace that may have begun elsewhere.
public struct TraceContext: Sendable, Hashable {
  /// 32 hexadecimal digits, not all 0.
  public var traceID: String
  /// This request's own span: 16 hexadecimal digits.
  public var spanID: String
  /// The span that asked; nil: the trace begins here.
  public var parentID: String?
  /// Whether whoever began the trace keeps it.
  public var isSampled: Bool

  /// Goes on with the trace of `header`; begins one if there is none, or none that can be understood.
  ///
  /// - Parameter random: three words.
  package init(header: String?, random: (UInt64, UInt64, UInt64)) {
    spanID = Self.hex(random.2)
    if let header, let given = Self.parse(header) {
      (traceID, parentID, isSampled) = (given.trace, given.parent, given.isSampled)
    } else {
      (traceID, parentID, isSampled) = (Self.hex(random.0) + Self.hex(random.1), nil, true)
    }
  }

  /// `version-trace-parent-flags`; versions that come later may add parts.
  private static func parse(_ header: String) -> (trace: String, parent: String, isSampled: Bool)? {
    let parts = header.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    guard parts.count >= 4, isHex(parts[0], 2), parts[0] != "ff", parts[0] != "00" || parts.count == 4,
      isHex(parts[1], 32), isHex(parts[2], 16), isHex(parts[3], 2), parts[1].contains(where: { $0 != "0" }),
      parts[2].contains(where: { $0 != "0" })
    else { return nil }
    return (parts[1], parts[2], UInt8(parts[3], radix: 16)! & 1 == 1)
  }

  private static func isHex(_ text: String, _ count: Int) -> Bool {
    text.utf8.count == count && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }

  private static func hex(_ value: UInt64) -> String {
    // 0 is no identity.
    let digits = String(max(1, value), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
