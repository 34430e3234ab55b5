// A hub with one model, as the Hugging Face Hub answers: the list of files, small files from the hub itself, large ones
// from another server ("delivery network") to which it redirects.

import Synchronization

/// A file on the hub.
package struct HubEntry: Sendable {
  package var path: String
  package var bytes: [UInt8]
  /// In hexadecimal: the SHA-256 for a large file, the SHA-1 of the Git blob for another.
  package var digest: String
  package var isLarge: Bool
  /// What is said of the size, if not the truth.
  package var statedSize: Int?

  package init(_ path: String, _ bytes: [UInt8], digest: String, isLarge: Bool) {
    self.path = path
    self.bytes = bytes
    self.digest = digest
    self.isLarge = isLarge
  }

  fileprivate var json: String {
    let size = statedSize ?? bytes.count
    let name = path.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    // Of a large file, `blobId` is that of the small file that stands for it in Git.
    return isLarge
      ? #"{"rfilename":"\#(name)","size":\#(size),"blobId":"\#(String(repeating: "0", count: 40))","#
        + #""lfs":{"sha256":"\#(digest)","size":\#(size),"pointerSize":135}}"#
      : #"{"rfilename":"\#(name)","size":\#(size),"blobId":"\#(digest)"}"#
  }
}

package final class TestHub: Sendable {
  /// Which of the two servers a request reached.
  package enum Part: Sendable { case hub, delivery }
  /// Changes what would have been answered.
  package typealias Rule = @Sendable (Part, LocalRequest, inout LocalResponse) -> Void

  package static let model = "owner/name"
  package static let commit = "0123456789abcdef0123456789abcdef01234567"

  package let hub: LocalServer
  package let delivery: LocalServer

  /// The address of the hub.
  package var host: String { "http://127.0.0.1:\(hub.port)" }

  package init(_ entries: [HubEntry], rule: @escaping Rule = { _, _, _ in }) {
    let delivery = LocalServer { request in
      let name = request.target.dropFirst("/files/".count).prefix { $0 != "?" }
      var response = entries.first { $0.digest == name }.map { Self.contents(of: $0, request) } ?? LocalResponse(404)
      rule(.delivery, request, &response)
      return response
    }
    self.delivery = delivery
    hub = LocalServer { [port = delivery.port] request in
      var response = Self.answer(request, entries, deliveryPort: port)
      rule(.hub, request, &response)
      return response
    }
  }

  private static func answer(_ request: LocalRequest, _ entries: [HubEntry], deliveryPort: Int) -> LocalResponse {
    if request.target == "/api/models/\(model)/revision/main?blobs=true" {
      let json = #"{"id":"\#(model)","sha":"\#(commit)","siblings":[\#(entries.map(\.json).joined(separator: ","))]}"#
      return LocalResponse(200, headers: [("Content-Type", "application/json")], body: Array(json.utf8)[...])
    }
    if request.target.hasPrefix("/api/models/\(model)/") {
      return LocalResponse(404, headers: [("X-Error-Code", "RevisionNotFound")])
    }
    if request.target.hasPrefix("/api/") { return LocalResponse(401, headers: [("X-Error-Code", "RepoNotFound")]) }
    let prefix = "/\(model)/resolve/\(commit)/"
    guard request.target.hasPrefix(prefix),
      let entry = entries.first(where: { $0.path == request.target.dropFirst(prefix.count).replacing("%20", with: " ") }
      )
    else { return LocalResponse(404, headers: [("X-Error-Code", "EntryNotFound")]) }
    let commitHeader = (name: "X-Repo-Commit", value: commit)
    guard entry.isLarge else {
      var response = contents(of: entry, request)
      response.headers.append(commitHeader)
      return response
    }
    return LocalResponse(
      302,
      headers: [
        commitHeader, ("X-Linked-Etag", "\"\(entry.digest)\""),
        ("X-Linked-Size", "\(entry.statedSize ?? entry.bytes.count)"),
        ("Location", "http://127.0.0.1:\(deliveryPort)/files/\(entry.digest)?signature=1"),
      ])
  }

  /// The file, or the range that was asked for if the tag that it depends on is the right one.
  private static func contents(of entry: HubEntry, _ request: LocalRequest) -> LocalResponse {
    let etag = "\"\(entry.digest)\""
    guard let range = request.range, request.headers["if-range"] ?? etag == etag else {
      return LocalResponse(200, headers: [("ETag", etag)], body: entry.bytes[...])
    }
    guard range.lowerBound < entry.bytes.count else { return LocalResponse(416) }
    let bytes = entry.bytes[range.clamped(to: 0...entry.bytes.count - 1)]
    return LocalResponse(
      206,
      headers: [
        ("ETag", etag), ("Content-Range", "bytes \(bytes.startIndex)-\(bytes.endIndex - 1)/\(entry.bytes.count)"),
      ], body: bytes)
  }
}
