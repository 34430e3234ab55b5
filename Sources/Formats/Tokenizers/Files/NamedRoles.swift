// Which tokens begin, end and pad texts: tokenizer.json does not say it, the files beside it do.

internal import Core

/// Roles by spelling, from tokenizer_config.json, special_tokens_map.json and generation_config.json.
struct NamedRoles: Sendable {
  private(set) var beginOfText: String?
  private(set) var endOfText: String?
  private(set) var unknown: String?
  private(set) var padding: String?
  private(set) var mask: String?
  private(set) var endOfAnswer: [Int] = []

  init() {}

  /// Reads the files in a folder, as far as they are there.
  init(folder: String) throws(FormatsError) {
    for name in ["special_tokens_map.json", "tokenizer_config.json"] {
      guard let file = try Self.value(folder + "/" + name) else { continue }
      beginOfText = Self.spelling(file["bos_token"] ?? file["cls_token"]) ?? beginOfText
      endOfText = Self.spelling(file["eos_token"] ?? file["sep_token"]) ?? endOfText
      unknown = Self.spelling(file["unk_token"]) ?? unknown
      padding = Self.spelling(file["pad_token"]) ?? padding
      mask = Self.spelling(file["mask_token"]) ?? mask
    }
    if let ends = try Self.value(folder + "/generation_config.json")?["eos_token_id"] {
      endOfAnswer = (ends.array ?? [ends]).compactMap { $0.integer }
    }
  }

  private static func spelling(_ value: JSONValue?) -> String? { value?.string ?? value?["content"]?.string }

  /// Takes the spellings of roles that have none.
  mutating func fill(_ defaults: [(name: String, spelling: String)]) {
    func fill(_ role: inout String?, _ names: String...) {
      role = role ?? defaults.first { names.contains($0.name) }?.spelling
    }
    fill(&beginOfText, "bos_token", "cls_token")
    fill(&endOfText, "eos_token", "sep_token")
    fill(&unknown, "unk_token")
    fill(&padding, "pad_token")
    fill(&mask, "mask_token")
  }

  /// The JSON of a file; nil if there is none.
  static func value(_ path: String) throws(FormatsError) -> JSONValue? {
    let file: MappedFile
    do throws(FileError) { file = try MappedFile(path: path) } catch {
      if error.code == .missing { return nil }
      throw FormatsError(error)
    }
    do throws(FormatsError) {
      var reader = JSONReader(file.text)
      return try reader.value()
    } catch {
      throw FormatsError(error.code, "Cannot read '\(path)': \(error.message)", cause: error)
    }
  }

  /// The roles as numbers.
  /// - Parameter unknown: how the model's own settings spell the unknown token.
  func resolved(_ table: TokenTable, _ added: [AddedToken], unknown modelUnknown: String?) -> TokenRoles {
    func token(_ spelling: String?) -> Int32? {
      guard let spelling else { return nil }
      return added.first { $0.spelling.elementsEqual(spelling.utf8) }?.token ?? table.token(spelled: spelling)
    }
    var roles = TokenRoles()
    roles.beginOfText = token(beginOfText)
    let specials = Dictionary(
      added.map { (String(decoding: $0.spelling, as: UTF8.self), $0.token) }, uniquingKeysWith: { first, _ in first })
    roles.endOfText = token(endOfText) ?? BytePairEncoding.findEndOfText(specials, preferred: nil)
    roles.unknown = token(unknown ?? modelUnknown)
    roles.padding = token(padding)
    roles.mask = token(mask)
    roles.endOfAnswer = Set(endOfAnswer.map { Int32(truncatingIfNeeded: $0) })
    if let end = roles.endOfText { roles.endOfAnswer.insert(end) }
    return roles
  }
}
