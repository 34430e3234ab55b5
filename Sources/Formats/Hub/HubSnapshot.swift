// The files of a model at one commit, as the hub lists them.
//
// Invariant: what is in here was checked: no path leaves the folder that it is put into, no two are the same, every file
// has a size and a checksum. A hub is not trusted to behave.

internal import Core

/// How a file's contents are known beforehand.
public enum HubDigest: Sendable, Hashable, CustomStringConvertible {
  /// The SHA-256 of the contents: files in large file storage.
  case sha256(String)
  /// The SHA-1 of a Git blob ("blob", a space, the size, a zero byte, the contents): all others.
  case gitBlob(String)

  /// The digits in hexadecimal, lower case.
  public var hexadecimal: String {
    switch self {
    case .sha256(let digits), .gitBlob(let digits): digits
    }
  }

  public var description: String {
    switch self {
    case .sha256(let digits): "sha256:\(digits)"
    case .gitBlob(let digits): "git-sha1:\(digits)"
    }
  }
}

/// A file of a model.
public struct HubFile: Sendable, Hashable {
  /// Where it is in the model's folder, with slashes.
  public let path: String
  /// Bytes.
  public let size: Int
  public let digest: HubDigest

  package init(path: String, size: Int, digest: HubDigest) {
    self.path = path
    self.size = size
    self.digest = digest
  }
}

/// The state of a model at one commit.
public struct HubSnapshot: Sendable {
  /// The commit's name in hexadecimal.
  public let commit: String
  /// All files, in the order of their paths.
  public let files: [HubFile]

  /// Reads the answer of `GET /api/models/<name>/revision/<revision>?blobs=true`.
  package init(parsing json: [UInt8], model: HubModel) throws(FormatsError) {
    let value: JSONValue
    do {
      value = try json.withUnsafeBytes { bytes in Result { () throws(JSONError) in try JSONValue(parsing: bytes) } }
        .get()
    } catch {
      throw FormatsError(
        .malformed, "The list of files of \(model) is not JSON; is the address given by --host or HF_ENDPOINT a hub?",
        cause: error)
    }
    func bad(_ what: String) -> FormatsError {
      FormatsError(.malformed, "The hub's list of files of \(model) cannot be used: \(what). Nothing was downloaded.")
    }
    guard let commit = value["sha"]?.string, Self.isHexadecimal(commit, 40...64) else {
      throw bad("it names no commit")
    }
    guard let siblings = value["siblings"]?.array else { throw bad("it has no 'siblings'") }
    var files: [HubFile] = []
    var total = 0
    for sibling in siblings {
      guard let path = sibling["rfilename"]?.string else { throw bad("a file has no name") }
      if let fault = Self.fault(of: path) { throw bad("\(quoted(path)) \(fault)") }
      let large = sibling["lfs"]?.object
      guard let size = (large?["size"] ?? sibling["size"])?.integer, (0...(1 << 50)).contains(size) else {
        throw bad("\(quoted(path)) has no credible size")
      }
      total += size
      guard total <= 1 << 52 else { throw bad("the sizes of its files are not credible") }
      if let digits = large?["sha256"]?.string, Self.isHexadecimal(digits, 64...64) {
        files.append(HubFile(path: path, size: size, digest: .sha256(digits.lowercased())))
      } else if large == nil, let digits = sibling["blobId"]?.string, Self.isHexadecimal(digits, 40...40) {
        files.append(HubFile(path: path, size: size, digest: .gitBlob(digits.lowercased())))
      } else {
        throw bad("\(quoted(path)) has no checksum")
      }
    }
    files.sort { $0.path < $1.path }
    for (file, next) in zip(files, files.dropFirst()) where file.path == next.path {
      throw bad("\(quoted(file.path)) is in it twice")
    }
    self.commit = commit.lowercased()
    self.files = files
  }

  /// What forbids a path, or nil.
  private static func fault(of path: String) -> String? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    if path.hasPrefix("/") || parts.contains("..") || path.contains("\\") { return "would leave the model's folder" }
    if parts.contains(where: { $0.isEmpty || $0 == "." }) { return "is no path" }
    if parts[0] == PullFolder.workName { return "is where unfinished downloads are kept" }
    if path.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
      return "has control characters in its name"
    }
    return path.utf8.count > 1024 || parts.contains { $0.utf8.count > 255 } ? "is too long" : nil
  }

  private static func isHexadecimal(_ text: String, _ lengths: ClosedRange<Int>) -> Bool {
    lengths.contains(text.utf8.count) && text.utf8.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
  }
}
