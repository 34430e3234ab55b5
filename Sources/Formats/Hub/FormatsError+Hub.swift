// What can go wrong between this machine and a hub, beside what can go wrong with files.

extension FormatsError.Code {
  /// The hub, or the way to it, failed again and again.
  public static let network = FormatsError.Code(description: "network")
  /// The hub wants to know who asks, or does not allow it.
  public static let denied = FormatsError.Code(description: "denied")
  /// What arrived is not what the hub said it would be.
  public static let corrupted = FormatsError.Code(description: "corrupted")
  /// The disk has too little room.
  public static let diskFull = FormatsError.Code(description: "diskFull")
  /// Another process is at work on the same files.
  public static let busy = FormatsError.Code(description: "busy")
}

/// Text from outside in a message or on a terminal: without control characters, and not too long.
func quoted(_ text: String) -> String {
  let scalars = text.unicodeScalars.prefix(200).map { scalar -> Unicode.Scalar in
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: "\u{B7}"
    default: scalar
    }
  }
  var result = String.UnicodeScalarView()
  result.append(contentsOf: scalars)
  return "'\(String(result))'"
}

/// An address for messages, without the name and password that it may hold.
func withoutCredentials(_ address: String) -> String {
  guard let at = address.lastIndex(of: "@") else { return address }
  let start = address.firstRange(of: "://").map(\.upperBound) ?? address.startIndex
  return address[..<(start <= at ? start : address.startIndex)] + "…" + address[at...]
}
