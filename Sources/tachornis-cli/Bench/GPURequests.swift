// Measuring on request: somebody who alternates several programs on one GPU says what is measured when.
//
// A request is a JSON object on a line of standard input, and gets one on a line of standard output:
//
//     {"do": "list"}                              {"cases": [{"title": …, "kind": …, …}, …]}
//     {"do": "check", "case": title}              {"problem": null}, or what is wrong
//     {"do": "unchecked", "case": title}          {"kernels": []}: those of the case that no check runs
//     {"do": "prepare", "case": title}            {"modes": [""]}: the ways in which it can be run
//     {"do": "measure", "seconds": 0.2}           {"seconds": 0.00141, "samples": […], …}: of what was prepared
//     {"do": "release"}                           {}
//
// or {"error": text}. The first line, before any request, says what device it is. Scripts/peers/gpu.py answers the same requests.

internal import Core
internal import GPUBackend

/// Answers requests until there are no more.
struct GPURequests {
  private let benchmark: GPUBenchmark
  private var prepared: (measured: GPUCase, work: GPUWork)?

  init(_ benchmark: GPUBenchmark) { self.benchmark = benchmark }

  /// - Parameters:
  ///   - next: the next line; nil: there is none.
  ///   - emit: takes one line.
  mutating func serve(next: () -> String?, emit: (String) -> Void) {
    emit(JSONValue.object(benchmark.json).json)
    while let text = next() {
      var answer: JSONObject
      do {
        answer = try self.answer(try JSONValue(parsing: text))
      } catch {
        answer = JSONObject([("error", .string("\(error)"))])
      }
      emit(JSONValue.object(answer).json)
    }
  }

  private mutating func answer(_ request: JSONValue) throws -> JSONObject {
    let verb = request.object?["do"]?.string ?? ""
    switch verb {
    case "list":
      return JSONObject([("cases", .array(benchmark.cases.map { .object($0.json) }))])
    case "check":
      return JSONObject([("problem", benchmark.problem(try named(request)).map { .string($0) } ?? .null)])
    case "unchecked":
      return JSONObject([("kernels", .array(try benchmark.unchecked(try named(request)).map { .string($0) }))])
    case "prepare":
      let measured = try named(request)
      try release()
      prepared = (measured, try benchmark.prepare(measured))
      return JSONObject([("modes", .array([.string("")]))])
    case "measure":
      guard let prepared else { throw CommandError("Nothing is prepared.") }
      guard let seconds = request.object?["seconds"]?.double, seconds > 0, seconds <= 600 else {
        throw CommandError("\"seconds\" must be more than 0 and at most 600.")
      }
      return benchmark.line(prepared.measured, try benchmark.times(prepared.work, seconds: seconds))
    case "release":
      try release()
      return JSONObject()
    default:
      throw CommandError("\"do\" is '\(verb)'; it must be list, check, unchecked, prepare, measure or release.")
    }
  }

  private mutating func release() throws {
    prepared = nil
    try benchmark.release()
  }

  private func named(_ request: JSONValue) throws -> GPUCase {
    let title = request.object?["case"]?.string ?? ""
    guard let known = benchmark.cases.first(where: { $0.title == title }) else {
      throw CommandError("There is no case '\(title)': \"list\" names all.")
    }
    return known
  }
}
