// Which model of a hub a user means.
//
// Invariant: `name` is `owner/name` or `name` of letters, digits, `-`, `_` and `.`, so that it can stand in an address and
// in a path as it is.

/// A model's name on a hub: `owner/name`, or `owner/name:tag` for one of several GGUF files.
public struct HubModel: Sendable, Hashable, CustomStringConvertible {
  /// `owner/name`, or `name` alone for the few models without an owner.
  public let name: String
  /// The part of a GGUF file's name that tells it from the others, such as `Q4_K_M`.
  public let tag: String?

  public var description: String { name + (tag.map { ":" + $0 } ?? "") }

  /// Reads `owner/name` or `owner/name:tag`. Throws `FormatsError.Code.setting` for anything else.
  public init(parsing text: String) throws(FormatsError) {
    let halves = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let parts = halves[0].split(separator: "/", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts.allSatisfy(Self.isName), halves.dropFirst().allSatisfy(Self.isName)
    else {
      throw FormatsError(
        .setting,
        "\(quoted(text)) is not the name of a model on a hub; write owner/name, or owner/name:Q4_K_M for one of its "
          + "GGUF files.")
    }
    name = String(halves[0])
    tag = halves.count == 2 ? String(halves[1]) : nil
  }

  private static func isName(_ part: Substring) -> Bool {
    (1...96).contains(part.utf8.count) && part != "." && part != ".."
      && part.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
          true
        default: false
        }
      }
  }
}
