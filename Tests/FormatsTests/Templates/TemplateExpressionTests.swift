// Small templates against what jinja2 answers, configured as transformers does.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct TemplateExpressionTests {
  @Test func answersLikeJinja() throws {
    let fixture = try TemplateFixtures.json("expressions.json")
    let variables = try #require(fixture["variables"]?.object)
    let now = try #require(fixture["now"]?.double)
    let answers = try #require(fixture["answers"]?.array)
    #expect(answers.count > 150)
    for answer in answers {
      let template = try #require(answer.array?[0].string)
      let expected = answer.array?[1].string
      let found = Result { try ChatTemplate(template).render(messages: [], variables: variables, now: now) }
      switch (expected, found) {
      case (let expected?, .success(let text)):
        // Code points, not characters.
        #expect(expected.unicodeScalars.elementsEqual(text.unicodeScalars), "\(template): \(text) != \(expected)")
      case (nil, .failure(let error)): #expect(error is FormatsError)
      case (nil, .success(let text)): Issue.record("\(template) must be refused, but gave \(text)")
      case (let expected?, .failure(let error)): Issue.record("\(template) is \(expected), but was refused: \(error)")
      }
    }
  }

  @Test func datesAreThoseOfStrftime() throws {
    let fixture = try TemplateFixtures.json("expressions.json")
    let template = try ChatTemplate("{{ strftime_now(format) }}")
    let variables = JSONObject([("format", try #require(fixture["dateFormat"]))])
    for date in try #require(fixture["dates"]?.array) {
      let seconds = try #require(date.array?[0].double)
      #expect(try template.render(messages: [], variables: variables, now: seconds) == date.array?[1].string)
    }
  }
}

/// The fixtures that Scripts/make-template-fixtures.py makes.
enum TemplateFixtures {
  static func text(_ name: String) throws -> String {
    String(decoding: try TestFiles.bytes(TestFiles.fixture("Templates/\(name)")), as: UTF8.self)
  }

  static func json(_ name: String) throws -> JSONValue { try JSONValue(parsing: try text(name)) }
}
