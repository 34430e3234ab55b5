// A date as `strftime` writes it in the C locale: what templates put under "Today's date".
//
// The calendar is the proleptic Gregorian one; days are counted as in Howard Hinnant's "chrono-compatible low-level date
// algorithms".

struct TemplateDate {
  private let second: Int, minute: Int, hour: Int
  private let day: Int, month: Int, year: Int
  /// 0 is Sunday.
  private let weekday: Int
  /// From 0.
  private let dayOfYear: Int
  private let microsecond: Int
  private let unixSeconds: Int

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
  ]
  private static let weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

  /// - Parameter seconds: since 1970-01-01 00:00 of the zone that is meant; clamped to the years 1 to 9999.
  init(seconds: Double) {
    let clamped = seconds.isNaN ? 0 : min(max(seconds, -62_135_596_800), 253_402_300_799)
    let whole = Int(clamped.rounded(.down))
    unixSeconds = whole
    microsecond = min(999_999, Int(((clamped - Double(whole)) * 1e6).rounded(.down)))
    let days = (whole - Self.modulo(whole, 86_400)) / 86_400
    let rest = Self.modulo(whole, 86_400)
    (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60)
    weekday = Self.modulo(days + 4, 7)
    // Years begin in March, so that the leap day is the last; eras have 400 years.
    let shifted = days + 719_468
    let era = (shifted - Self.modulo(shifted, 146_097)) / 146_097
    let dayOfEra = Self.modulo(shifted, 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let marchDay = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * marchDay + 2) / 153
    day = marchDay - (153 * marchMonth + 2) / 5 + 1
    month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let isLeap = Self.isLeap(year)
    dayOfYear = month <= 2 ? marchDay - 306 : marchDay + 59 + (isLeap ? 1 : 0)
  }

  private static func modulo(_ value: Int, _ divisor: Int) -> Int { (value % divisor + divisor) % divisor }

  private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

  /// The date in a format of `strftime`; what is no directive stays.
  func text(_ format: String) -> String {
    var result = String.UnicodeScalarView()
    var scalars = format.unicodeScalars[...]
    while let scalar = scalars.popFirst() {
      guard scalar == "%", !scalars.isEmpty else {
        result.append(scalar)
        continue
      }
      let whole = scalars
      // "-" leaves the padding out, "_" pads with spaces, "0" with zeros.
      let flag = scalars.first.flatMap { $0 == "-" || $0 == "_" || $0 == "0" ? $0 : nil }
      if flag != nil { scalars.removeFirst() }
      if let directive = scalars.popFirst(), let text = field(directive, flag) {
        result.append(contentsOf: text.unicodeScalars)
      } else {
        result.append("%")
        scalars = whole
      }
    }
    return String(result)
  }

  private func field(_ directive: Unicode.Scalar, _ flag: Unicode.Scalar?) -> String? {
    func number(_ value: Int, _ width: Int, _ padding: Unicode.Scalar = "0") -> String {
      let digits = String(value)
      let fill = flag == "_" ? " " : flag == "0" ? "0" : padding
      guard flag != "-", digits.utf8.count < width else { return digits }
      return String(repeating: String(fill), count: width - digits.utf8.count) + digits
    }
    let hour12 = hour % 12 == 0 ? 12 : hour % 12
    switch directive {
    case "Y": return number(year, 1)
    case "C": return number(year / 100, 2)
    case "y": return number(year % 100, 2)
    case "m": return number(month, 2)
    case "d": return number(day, 2)
    case "e": return number(day, 2, " ")
    case "H": return number(hour, 2)
    case "k": return number(hour, 2, " ")
    case "I": return number(hour12, 2)
    case "l": return number(hour12, 2, " ")
    case "M": return number(minute, 2)
    case "S": return number(second, 2)
    case "f": return flag == nil ? number(microsecond, 6) : nil
    case "j": return number(dayOfYear + 1, 3)
    case "u": return number(weekday == 0 ? 7 : weekday, 1)
    case "w": return number(weekday, 1)
    case "U": return number((dayOfYear + 7 - weekday) / 7, 2)
    case "W": return number((dayOfYear + 7 - (weekday + 6) % 7) / 7, 2)
    case "V": return number(isoWeek.week, 2)
    case "G": return number(isoWeek.year, 1)
    case "g": return number(isoWeek.year % 100, 2)
    case "s": return number(unixSeconds, 1)
    case "B": return Self.months[month - 1]
    case "b", "h": return String(Self.months[month - 1].prefix(3))
    case "A": return Self.weekdays[weekday]
    case "a": return String(Self.weekdays[weekday].prefix(3))
    case "p": return hour < 12 ? "AM" : "PM"
    case "P": return hour < 12 ? "am" : "pm"
    case "D", "x": return text("%m/%d/%y")
    case "F": return text("%Y-%m-%d")
    case "T", "X": return text("%H:%M:%S")
    case "R": return text("%H:%M")
    case "r": return text("%I:%M:%S %p")
    case "c": return text("%a %b %e %H:%M:%S %Y")
    // A date without a zone has no name for it.
    case "z", "Z": return ""
    case "n": return "\n"
    case "t": return "\t"
    case "%": return "%"
    default: return nil
    }
  }

  /// ISO 8601: the week that holds the year's first Thursday is its first.
  private var isoWeek: (year: Int, week: Int) {
    let week = (dayOfYear - (weekday + 6) % 7 + 10) / 7
    func weeks(_ year: Int) -> Int {
      func lastWeekday(_ year: Int) -> Int { (year + year / 4 - year / 100 + year / 400) % 7 }
      return lastWeekday(year) == 4 || lastWeekday(year - 1) == 3 ? 53 : 52
    }
    if week < 1 { return (year - 1, weeks(year - 1)) }
    return week > weeks(year) ? (year + 1, 1) : (year, week)
  }
}
