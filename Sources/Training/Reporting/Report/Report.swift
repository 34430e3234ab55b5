// The report of a run: one HTML page that needs nothing but itself.
//
// Invariant: the page fetches nothing, works from disk, and shows text from outside (samples, names, messages) only
// escaped.

internal import Core

/// Makes the page.
package enum Report {
  /// The page for a run.
  ///
  /// - Parameter unixSeconds: when the report is written, in seconds since 1970.
  package static func html(of history: RunHistory, unixSeconds: Double) -> String {
    let data = ReportData(history: history, unixSeconds: unixSeconds)
    let model = escaped(history.run?.model ?? "A run")
    // A script ends at the first "</" or "<!--", whatever stands around it.
    let json = data.json.json.split(separator: "<", omittingEmptySubsequences: false).joined(separator: "\\u003c")
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>\(model) – training report</title>
      <style>
      \(ReportAssets.style)
      </style>
      </head>
      <body>
      <main>
      \(header(data, model: model))
      \(tiles(data))
      <section class="charts" id="charts"></section>
      \(samples(history))
      \(notes(history))
      \(table(data))
      \(configuration(history))
      <footer>Written by Tachornis, <span id="updated"></span></footer>
      </main>
      <script type="application/json" id="data">\(json)</script>
      <script>
      \(ReportAssets.script)
      </script>
      </body>
      </html>

      """
  }

  private static func header(_ data: ReportData, model: String) -> String {
    var facts: [String] = []
    if let run = data.history.run {
      facts = ["\(Numerals.scaled(Double(run.parameters))) parameters", escaped(run.device)]
      if run.resumedFrom > 0 { facts.append("resumed from step \(Numerals.grouped(run.resumedFrom))") }
    }
    let kind = data.history.summary.map { $0.reason == .failed ? "failed" : "over" } ?? "running"
    return """
      <header>
      <p class="eyebrow">Training report</p>
      <h1>\(model) <span class="status \(kind)">\(data.status)</span></h1>
      <p class="facts">\(facts.joined(separator: " · "))</p>
      </header>
      """
  }

  private static func tiles(_ data: ReportData) -> String {
    guard !data.tiles.isEmpty else { return "<p class=\"empty\">No step is done yet.</p>" }
    let items = data.tiles.map { tile in
      "<div class=\"tile\"><dt>\(tile.label)</dt><dd>\(tile.value)</dd><small>\(tile.note)</small></div>"
    }
    return "<dl class=\"tiles\">\(items.joined(separator: "\n"))</dl>"
  }

  /// The last sample in full, the ones before it folded.
  private static func samples(_ history: RunHistory) -> String {
    guard !history.samples.isEmpty else { return "" }
    let shown = history.samples.suffix(30).reversed().enumerated().map { index, sample in
      """
      <details\(index == 0 ? " open" : "")><summary>after step \(Numerals.grouped(sample.step))</summary>
      <pre class="sample">\(escaped(sample.text))</pre></details>
      """
    }
    return "<section><h2>Samples</h2>\(shown.joined(separator: "\n"))</section>"
  }

  private static func notes(_ history: RunHistory) -> String {
    guard !history.warnings.isEmpty else { return "" }
    let shown = history.warnings.suffix(50).map { warning in
      "<li><b>step \(Numerals.grouped(warning.step))</b> \(escaped(warning.message))</li>"
    }
    return "<section><h2>Warnings</h2><ul class=\"warnings\">\(shown.joined(separator: "\n"))</ul></section>"
  }

  private static func table(_ data: ReportData) -> String {
    guard !data.table.isEmpty else { return "" }
    let names = ["Step", "Loss", "Smoothed", "Validation", "Learning rate", "Gradient norm", "Tokens/s", "MFU"]
    let head = names.map { "<th>\($0)</th>" }.joined()
    let rows = data.table.map { "<tr>\($0.map { "<td>\($0)</td>" }.joined())</tr>" }
    return """
      <section><h2>Figures</h2><div class="scroll"><table><thead><tr>\(head)</tr></thead>
      <tbody>\(rows.joined(separator: "\n"))</tbody></table></div></section>
      """
  }

  private static func configuration(_ history: RunHistory) -> String {
    guard let text = history.run?.configuration, !text.isEmpty else { return "" }
    return """
      <section><h2>Configuration</h2><details><summary>as resolved, JSON5</summary>
      <pre>\(escaped(text))</pre></details></section>
      """
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "&": result += "&amp;"
      case "\"": result += "&quot;"
      case "\0"..."\u{8}", "\u{B}"..."\u{1F}", "\u{7F}"..."\u{9F}": result += "\u{FFFD}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
