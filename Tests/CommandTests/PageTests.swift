// The page of a server in a real browser: a conversation and the dashboard, without anything from elsewhere.

import FoundationEssentials
import Support
import Testing

@Suite struct PageTests {
  private static let browser = ["chromium", "chromium-browser", "google-chrome"].lazy.flatMap { name in
    ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].map { "\($0)/\(name)" }
  }.first { FileManager.default.isExecutableFile(atPath: $0) }

  /// What the browser makes of an address after some seconds of its own time.
  private func page(_ address: String, _ place: Workplace) throws -> String {
    let browser = try RunningTool(
      [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--user-data-dir=\(place.path)/browser",
        "--virtual-time-budget=20000", "--dump-dom", address,
      ], in: place.path, executable: #require(PageTests.browser))
    return browser.wait(seconds: 60).output
  }

  @Test(.enabled(if: browser != nil, "needs Chromium"))
  func aConversationAndTheDashboard() throws {
    let place = try Workplace()
    let model = try TinyModel()
    let server = try place.start(["serve", "--model", model.path, "--name", "tiny", "--port", "0"])
    defer { server.send(2) }
    #expect(server.waits(until: { server.printed.contains("http://") }, seconds: 60))
    let address = try #require(server.printed.split(separator: " ").first { $0.hasPrefix("http://") })

    // The model has no template: the page goes on with the text instead. The likeliest text: one of chance may end early.
    let talk = try page("\(address)/?q=Hello&temperature=0&max_tokens=20", place)
    #expect(talk.contains("<h1 id=\"model\">tiny</h1>"))
    #expect(talk.contains("<div class=\"message user\"><div class=\"text\">Hello</div>"))
    #expect(talk.contains("5 tokens read · 20 written"), "\(talk.suffix(3000))")
    #expect(talk.contains("role=\"alert\" hidden"))

    let dashboard = try page("\(address)/#dashboard", place)
    #expect(dashboard.contains("<dt>Written</dt>") && dashboard.components(separatedBy: "<figure>").count == 5)
    #expect(dashboard.contains("role=\"alert\" hidden"))
  }
}
