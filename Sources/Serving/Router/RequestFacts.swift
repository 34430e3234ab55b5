// What a router reads of a request's body, and how it asks a worker for more than the client did.
//
// The body stays as it is but for members put in at its front: the numbers of tokens are asked for, and a seed is given where there
// is none, so that another worker can go on with the answer just as this one would have.

internal import Core

/// What a request for text says of itself.
struct RequestFacts: Sendable {
  private(set) var model: String?
  private(set) var user: String?
  private(set) var isStreamed = false
  /// Of the prompt or the messages.
  private(set) var keys: [UInt64] = []
  /// The client wants the numbers of tokens, too.
  private(set) var wantsTokens = false
  /// One streamed answer, which another worker can go on with.
  private(set) var isResumable = false
  /// A text is asked for.
  private(set) var isText = false
  private var hasSeed = false
  /// Behind the first brace.
  private var front = 0
  private var isEmpty = true

  /// - Parameters:
  ///   - wantsKeys: for a policy that looks at prompts.
  ///   - Returns: nil: the body is no object, or the path takes none.
  init?(_ body: [UInt8], path: String, wantsKeys: Bool) {
    guard !body.isEmpty else { return nil }
    var isSingle = true
    let isObject = body.withUnsafeBytes { bytes -> Bool in
      let json = RawJSON(bytes)
      guard let members = json.members(), let brace = bytes.firstIndex(of: UInt8(ascii: "{")) else { return false }
      (front, isEmpty) = (brace + 1, members.isEmpty)
      var prompt: Range<Int>?
      for member in members {
        let (key, value) = (member.key, member.value)
        if json.is(key, "model") {
          model = json.string(value)
        } else if json.is(key, "user") {
          user = json.string(value)
        } else if json.is(key, "stream") {
          isStreamed = json.is(value, "true")
        } else if json.is(key, "messages") || json.is(key, "prompt") || json.is(key, "input") {
          prompt = value
          if json.is(key, "prompt"), bytes[value.lowerBound] == UInt8(ascii: "[") {
            let first = bytes[(value.lowerBound + 1)...].first { $0 != 0x20 && $0 != 0x0A }
            // An array of numbers is one prompt; of anything else, several.
            isSingle = isSingle && first.map { (0x30...0x39).contains($0) } ?? false
          }
        } else if json.is(key, "n") || json.is(key, "best_of") {
          isSingle = isSingle && json.is(value, "1")
        } else if json.is(key, "seed") {
          if json.is(value, "null") { isSingle = false } else { hasSeed = true }
        } else if json.is(key, "return_token_ids") {
          wantsTokens = json.is(value, "true")
          isSingle = isSingle && wantsTokens
        } else if json.is(key, "resume_token_ids") || json.is(key, "use_beam_search") || json.is(key, "mirostat") {
          isSingle = false
        }
      }
      if wantsKeys, let prompt {
        keys = PrefixKeys.keys(
          of: UnsafeRawBufferPointer(rebasing: bytes[prompt]),
          seed: PrefixKeys.seed(model ?? ""))
      }
      return true
    }
    if !isObject { return nil }
    isText = Self.texts.contains(path)
    isResumable = isStreamed && isSingle && (path == "/v1/completions" || path == "/v1/chat/completions")
  }

  private static let texts: Set<String> = [
    "/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages",
  ]

  /// What stands in front of the rest of the body when tokens are asked for.
  ///
  /// - Parameter known: tokens of the answer that the client has.
  /// - Returns: the new beginning, and where the rest begins.
  func opening(seed: UInt64, known: [Int32]) -> (bytes: String, rest: Int) {
    var members: [String] = []
    if !wantsTokens { members.append("\"return_token_ids\":true") }
    if !hasSeed { members.append("\"seed\":\(seed >> 1)") }
    if !known.isEmpty { members.append("\"resume_token_ids\":\(JSONValue.tokens(known).json)") }
    let comma = members.isEmpty || isEmpty ? "" : ","
    return ("{" + members.joined(separator: ",") + comma, front)
  }
}
