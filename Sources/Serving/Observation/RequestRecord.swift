// One request from its last byte in to its last byte out, and where the time went.
//
// Invariant: the phases follow each other and add up to the whole; one that was not reached has no time.

public import Core
public import Inference

/// What is known of a request when it is over.
public struct RequestRecord: Sendable {
  /// What requests go through, in this order.
  public enum Phase: String, Sendable, CaseIterable {
    /// Reading the request: JSON, the conversation's template, the tokenizer, a grammar.
    case encode
    /// Waiting for a place among those that are computed.
    case queue
    /// Reading the prompt, to the first token.
    case prefill
    /// Writing, to the last token.
    case decode
    /// Formatting the reply, and waiting for the network to take it.
    case send
  }

  /// Given by whoever asked (`x-request-id`), or made here.
  public var id: String
  public var trace: TraceContext
  public var method: String
  /// Without the query.
  public var path: String
  /// Who asked: the name of the key.
  public var tenant = ""
  /// 0: whoever asked went away before there was a reply.
  public var status = 0
  /// Whether whoever asked went away before the reply had ended.
  public var isAborted = false
  /// When the request had arrived whole, in seconds since 1970.
  public var unixSeconds: Double
  /// When it had arrived, and when its last byte was handed to the system, in seconds of the monotonic clock.
  public var arrived: Double
  public var sent: Double
  /// How its texts ended, in the order in which they did.
  public var texts: [GenerationEnd] = []

  /// A request that has just arrived.
  package init(id: String, trace: TraceContext, method: String, path: String, unixSeconds: Double, arrived: Double) {
    (self.id, self.trace, self.method, self.path) = (id, trace, method, path)
    (self.unixSeconds, self.arrived, sent) = (unixSeconds, arrived, arrived)
  }

  /// Seconds from the last byte in to the last byte out.
  public var seconds: Double { sent - arrived }
  /// Tokens of prompts, of those that were in the cache, and tokens that were written, of all texts.
  public var promptTokens: Int { texts.reduce(0) { $0 + $1.prompt } }
  public var cachedTokens: Int { texts.reduce(0) { $0 + $1.cached } }
  public var writtenTokens: Int { texts.reduce(0) { $0 + $1.written } }
  /// Seconds to the first token of any text.
  public var firstToken: Double? { texts.compactMap(\.times.firstToken).min().map { $0 - arrived } }

  /// Where each phase begins and ends, in seconds of the monotonic clock. With several texts, a phase lasts from the first
  /// that enters it to the first that leaves it, the last of the phases to the last text's end.
  public var phases: [(phase: Phase, begin: Double, end: Double)] {
    guard let submitted = texts.map(\.times.arrived).min() else { return [(.encode, arrived, sent)] }
    let marks: [(Phase, Double?)] = [
      (.encode, submitted), (.queue, texts.compactMap(\.times.started).min()),
      (.prefill, texts.compactMap(\.times.firstToken).min()), (.decode, texts.compactMap(\.times.lastToken).max()),
    ]
    var result: [(phase: Phase, begin: Double, end: Double)] = []
    var begin = arrived
    for (phase, mark) in marks {
      // What was not reached: all the time since went into it.
      guard let mark else {
        result.append((phase, begin, max(begin, sent)))
        return result
      }
      let end = min(max(mark, begin), max(begin, sent))
      result.append((phase, begin, end))
      begin = end
    }
    result.append((.send, begin, max(begin, sent)))
    return result
  }

  /// As one object: what the request log holds.
  public var json: JSONValue {
    func seconds(_ value: Double) -> JSONValue { .number(JSONNumber((value * 1e6).rounded() / 1e6)) }
    var object = JSONObject([
      ("time", .number(JSONNumber((unixSeconds * 1000).rounded() / 1000))), ("id", .string(id)),
      ("trace", .string(trace.traceID)), ("method", .string(method)), ("path", .string(path)),
      ("status", .number(JSONNumber(status))), ("seconds", seconds(self.seconds)),
    ])
    if !tenant.isEmpty { object["tenant"] = .string(tenant) }
    if isAborted { object["aborted"] = true }
    guard !texts.isEmpty else { return .object(object) }
    if let firstToken { object["first_token"] = seconds(firstToken) }
    object["phases"] = .object(JSONObject(phases.map { ($0.phase.rawValue, seconds($0.end - $0.begin)) }))
    object["prompt_tokens"] = .number(JSONNumber(promptTokens))
    object["cached_tokens"] = .number(JSONNumber(cachedTokens))
    object["written_tokens"] = .number(JSONNumber(writtenTokens))
    object["ended"] = .array(texts.map { .string($0.reason.rawValue) })
    return .object(object)
  }
}
