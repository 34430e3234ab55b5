// The date of replies (RFC 9110, 5.6.7), written once a second.

internal import Synchronization

/// Dates as HTTP writes them.
package enum HTTPDate {
  private static let newest = Mutex<(second: Int, text: String)>((0, text(of: 0)))

  /// - Parameter second: since 1970.
  static func cached(_ second: Int) -> String {
    newest.withLock { newest in
      if newest.second != second { newest = (second, text(of: second)) }
      return newest.text
    }
  }

  /// `Sun, 06 Nov 1994 08:49:37 GMT`. The day of the calendar follows Howard Hinnant's "chrono-compatible low-level date algorithms":
  /// years begin in March, so that the day of a leap year is their last.
  package static func text(of second: Int) -> String {
    let (days, time) = (second / 86400, second % 86400)
    let shifted = days + 719_468
    let (era, dayOfEra) = (shifted / 146_097, shifted % 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * month + 2) / 5 + 1
    let year = era * 400 + yearOfEra + (month >= 10 ? 1 : 0)
    let months = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"]
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(weekdays[days % 7]), \(two(day)) \(months[month]) \(year) "
      + "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60)) GMT"
  }
}
