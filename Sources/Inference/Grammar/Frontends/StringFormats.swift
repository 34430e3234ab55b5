// The formats of strings that JSON Schema names (draft 2020-12, 7.3), as regular expressions.
//
// Invariant: whatever an expression matches is of its format. Some leave out what is legal but rare: 29 February, quoted mailboxes,
// leap seconds.

enum StringFormats {
  private static let date =
    #"\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"#
  private static let time = #"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"#
  private static let label = #"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"#
  private static let hostname = #"\#(label)(?:\.\#(label)){0,3}"#
  private static let octet = #"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"#
  private static let ipv4 = #"\#(octet)\.\#(octet)\.\#(octet)\.\#(octet)"#
  private static let group = "[0-9A-Fa-f]{1,4}"
  private static let ipv6: String = {
    // In full, or with :: for at least one group of zeros.
    var ways = ["(?:\(group):){7}\(group)", "::(?:\(group)(?::\(group)){0,6})?"]
    for before in 1...6 {
      let after = before == 6 ? "(?:\(group))?" : "(?:\(group)(?::\(group)){0,\(6 - before)})?"
      ways.append("\(group)(?::\(group)){\(before - 1)}::\(after)")
    }
    ways.append("(?:\(group):){7}:")
    return ways.joined(separator: "|")
  }()
  private static let clock = #"T(?:\d{1,4}H(?:\d{1,4}M(?:\d{1,4}S)?)?|\d{1,4}M(?:\d{1,4}S)?|\d{1,4}S)"#
  private static let pathCharacter = #"[A-Za-z0-9._~!$&'()*+,;=:@-]"#
  private static let uri =
    #"(?:https?|ftp)://\#(hostname)(?::[1-9]\d{0,3})?(?:/\#(pathCharacter)*)*(?:\?(?:\#(pathCharacter)|[/?])*)?(?:#(?:\#(pathCharacter)|[/?])*)?"#

  /// By name.
  static let patterns: [String: String] = [
    "date": date,
    "time": time,
    "date-time": "\(date)T\(time)",
    "duration":
      #"P(?:\d{1,4}W|(?:\d{1,4}Y(?:\d{1,4}M(?:\d{1,4}D)?)?|\d{1,4}M(?:\d{1,4}D)?|\d{1,4}D)(?:\#(clock))?|\#(clock))"#,
    "uuid": "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
    "email": #"[A-Za-z0-9_+-]{1,32}(?:\.[A-Za-z0-9_+-]{1,16}){0,2}@\#(label)(?:\.\#(label)){1,3}"#,
    "hostname": hostname,
    "ipv4": ipv4,
    "ipv6": ipv6,
    "uri": uri,
  ]
}
