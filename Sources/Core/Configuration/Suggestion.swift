// "Did you mean": the nearest of the names that are allowed, by the edit distance of Damerau (1964) and Levenshtein
// (1966) in its restricted form.

/// "Did you mean": the nearest of the names that are allowed.
enum Suggestion {
  /// "did you mean X? ", or nothing if no name is near.
  static func text(for name: String, among allowed: [String]) -> String {
    let wanted = Array(name.lowercased().utf8)
    let nearest = allowed.map { (name: $0, distance: distance(wanted, Array($0.lowercased().utf8))) }
      .min { $0.distance < $1.distance }
    guard let nearest, nearest.distance <= max(1, min(wanted.count, nearest.name.utf8.count) / 3) else { return "" }
    return "did you mean \(nearest.name)? "
  }

  /// The number of insertions, deletions, substitutions and swaps of neighbours between two words (optimal string
  /// alignment).
  static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in 0..<a.count {
      var row = [i + 1]
      for j in 0..<b.count {
        var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, beforeLast[j - 1] + 1) }
        row.append(best)
      }
      (beforeLast, last) = (last, row)
    }
    return last[b.count]
  }
}
