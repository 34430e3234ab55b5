// What a load generator asks for: lengths and prompts, each a function of a seed and of the request's number.
//
// Invariant: request k of a workload is the same in every run, whichever were asked for before, so that two servers get the same.

internal import Core
internal import Formats

/// One request before it is written down.
package struct LoadRequest: Sendable, Equatable {
  /// Seconds after the start; nil: as the rate says.
  package var time: Double?
  /// What the prompt is made of: so many tokens of the text that each number stands for.
  package var parts: [Part]
  /// Its text, where a file gave it.
  package var text: String?
  package var output: Int

  package struct Part: Sendable, Hashable {
    package var name: UInt64
    package var tokens: Int

    package init(name: UInt64, tokens: Int) { (self.name, self.tokens) = (name, tokens) }
  }

  package init(time: Double? = nil, parts: [Part], text: String? = nil, output: Int) {
    (self.time, self.parts, self.text, self.output) = (time, parts, text, output)
  }

  package var input: Int { parts.reduce(0) { $0 + $1.tokens } }
}

/// A family of requests.
package enum LoadWorkload: Sendable {
  /// Prompts that have nothing in common; lengths vary by the share `spread` to both sides.
  case random(input: Int, output: Int, spread: Double)
  /// Lengths as people's conversations with ChatGPT have: lognormal, median 100 and 130, at most 1024.
  case conversations
  /// Groups of prompts with a common beginning.
  case prefixes(groups: Int, prefix: Int, input: Int, output: Int)
  /// Recorded or read requests, in order.
  case list([LoadRequest])

  /// The request of a number; nil: there are no more.
  package func request(_ number: Int, seed: UInt64) -> LoadRequest? {
    var random = RandomSequence(seed: seed, stream: UInt64(number) << 1 | 1)
    // Names of texts: the upper bits are the workload's, so that no two requests share a text by chance, the others the seed's.
    var names = RandomSequence(seed: seed, stream: 0)
    let salt = names.next() >> 3
    let own = (UInt64(number) ^ salt) | 1 << 62
    switch self {
    case .random(let input, let output, let spread):
      func length(_ mean: Int) -> Int {
        max(1, Int((Double(mean) * (1 + spread * Double.random(in: -1...1, using: &random))).rounded()))
      }
      let input = length(input)
      return LoadRequest(parts: [.init(name: own, tokens: input)], output: length(output))
    case .conversations:
      func length(_ median: Double, _ deviation: Double) -> Int {
        let radius = (-2 * log(1 - Double.random(in: 0..<1, using: &random))).squareRoot()
        let normal = radius * cos(2 * .pi * Double.random(in: 0..<1, using: &random))
        return min(max(Int(median * exp(deviation * normal)), 4), 1024)
      }
      let input = length(100, 1.2)
      return LoadRequest(parts: [.init(name: own, tokens: input)], output: length(130, 1))
    case .prefixes(let groups, let prefix, let input, let output):
      let group = (UInt64(Int.random(in: 0..<groups, using: &random)) ^ salt) | 1 << 61
      return LoadRequest(
        parts: [.init(name: group, tokens: prefix), .init(name: own, tokens: input)], output: output)
    case .list(let requests): return number < requests.count ? requests[number] : nil
    }
  }

  /// Requests of a trace as Mooncake publishes them: JSON lines with `timestamp` (ms), `input_length`, `output_length` and
  /// `hash_ids`, one for each 512 tokens of the prompt; equal ones are equal texts.
  ///
  /// - Parameters:
  ///   - block: tokens that are made of 512; lengths become shorter in proportion.
  ///   - speed: how many times as fast the requests come.
  package static func trace(_ text: String, block: Int, speed: Double) throws -> LoadWorkload {
    let recorded = 512
    let requests = try text.split(whereSeparator: \.isNewline).enumerated().map { number, line in
      let value = try? JSONValue(parsing: String(line))
      guard let time = value?["timestamp"]?.double, let input = value?["input_length"]?.integer,
        let output = value?["output_length"]?.integer, let ids = value?["hash_ids"]?.array?.compactMap(\.integer),
        input > 0, output > 0, !ids.isEmpty, ids.allSatisfy({ $0 >= 0 })
      else {
        throw ServingError(
          "Line \(number + 1) of the trace is not an object with 'timestamp', 'input_length', 'output_length' and 'hash_ids'. "
            + "Give a file of JSON lines as Mooncake publishes them.")
      }
      func scaled(_ length: Int) -> Int { max(1, length * block / recorded) }
      var left = max(scaled(input), (ids.count - 1) * block + 1)
      let parts = ids.map { id in
        defer { left -= block }
        return LoadRequest.Part(name: UInt64(id), tokens: max(1, min(block, left)))
      }
      return LoadRequest(time: time / 1000 / speed, parts: parts, output: scaled(output))
    }
    return .list(requests)
  }

  /// The first questions of conversations as ShareGPT's files have them, asked for answers as long as those of the file, at four
  /// characters a token.
  package static func shareGPT(_ text: String) throws -> LoadWorkload {
    let value = try? JSONValue(parsing: text)
    let requests = (value?.array ?? []).compactMap { conversation -> LoadRequest? in
      guard let turns = conversation["conversations"]?.array, turns.count >= 2,
        let question = turns[0]["value"]?.string, let answer = turns[1]["value"]?.string,
        !question.isEmpty, !answer.isEmpty
      else { return nil }
      let lengths = [question, answer].map { max(1, $0.utf8.count / 4) }
      if lengths[0] > 1024 || lengths[0] + lengths[1] > 2048 { return nil }
      return LoadRequest(parts: [.init(name: 0, tokens: lengths[0])], text: question, output: lengths[1])
    }
    if requests.isEmpty {
      throw ServingError(
        "The file holds no conversations. Give a JSON array of objects whose 'conversations' are arrays of {\"from\", \"value\"}."
      )
    }
    return .list(requests)
  }
}

/// When requests come.
package enum LoadArrivals: Sendable {
  /// As soon as a connection is free.
  case closed
  /// So many a second; intervals are gamma-distributed with the shape `burstiness` (1: a Poisson process; less: bursts).
  case rate(Double, burstiness: Double)
  /// At the times of the workload.
  case trace

  /// Seconds to the next one.
  func interval(_ random: inout RandomSequence) -> Double {
    guard case .rate(let rate, let shape) = self else { return 0 }
    return gamma(shape, &random) / (shape * rate)
  }

  /// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000).
  private func gamma(_ shape: Double, _ random: inout RandomSequence) -> Double {
    if shape < 1 {
      return gamma(shape + 1, &random) * pow(1 - Double.random(in: 0..<1, using: &random), 1 / shape)
    }
    if shape == 1 { return -log(1 - Double.random(in: 0..<1, using: &random)) }
    let d = shape - 1 / 3.0
    let c = 1 / (9 * d).squareRoot()
    while true {
      let radius = (-2 * log(1 - Double.random(in: 0..<1, using: &random))).squareRoot()
      let normal = radius * cos(2 * .pi * Double.random(in: 0..<1, using: &random))
      let v = pow(1 + c * normal, 3)
      let u = 1 - Double.random(in: 0..<1, using: &random)
      if v > 0, log(u) < 0.5 * normal * normal + d - d * v + d * log(v) { return d * v }
    }
  }
}
