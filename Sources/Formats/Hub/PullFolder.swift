// The folder that a model is put into, and the hidden one in it where unfinished files are.
//
// Invariant: at most one process pulls into a folder at a time; a file has its final name only when it is whole and
// checked; nothing is written outside of the folder.

internal import Core
internal import FoundationEssentials

/// The destination of a download.
package final class PullFolder: Sendable {
  /// The name of the hidden folder.
  static let workName = ".pull"

  package let path: String
  var workPath: String { path + "/" + Self.workName }
  private let lock: Int32

  /// Where a model goes if nothing else is said: a folder of its own among the user's caches.
  package static func standard(
    _ model: HubModel, revision: String, environment: [String: String]
  ) throws(FormatsError) -> String {
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    guard let caches = variable("XDG_CACHE_HOME") ?? variable("HOME").map({ $0 + "/.cache" }) else {
      throw FormatsError(.setting, "There is no home folder to keep models in; say where with --to.")
    }
    // Another revision must not overwrite this one.
    let suffix = revision == "main" ? "" : "@" + revision.split(separator: "/").joined(separator: "-")
    return "\(caches)/tachornis/models/\(model.name)\(suffix)"
  }

  /// Makes the folder and locks it. Throws `FormatsError.Code.busy` if another process has it.
  package init(path: String) throws {
    self.path = path
    let work = path + "/" + Self.workName
    try Self.makeFolder(work)
    lock = open(work + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard lock >= 0 else { throw FormatsError(FileError(cannot: "write", path: work, errorNumber: errno)) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw FormatsError(
        .busy, "Another process is pulling into '\(path)'; wait for it, or give another folder with --to.")
    }
  }

  deinit { close(lock) }

  /// Where a file of the model will be, with the folders above it made.
  func place(_ file: HubFile) throws -> String {
    let place = "\(path)/\(file.path)"
    try Self.makeFolder(String(place.prefix(upTo: place.lastIndex(of: "/")!)))
    return place
  }

  /// The size of the regular file at a path, or nil if there is none.
  func size(of file: HubFile) -> Int? {
    var status = stat()
    guard stat("\(path)/\(file.path)", &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Int(status.st_size)
  }

  /// Throws `FormatsError.Code.diskFull` if `bytes` do not fit onto the disk.
  func reserve(_ bytes: Int) throws {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return }
    let free = Int(
      clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    guard bytes <= free else {
      throw FormatsError(
        .diskFull,
        "'\(path)' has room for \(Numerals.bytes(free)), but \(Numerals.bytes(bytes)) are to be downloaded; free some "
          + "space, or give another folder with --to.")
    }
  }

  /// Removes the hidden folder, once everything is in its place.
  func removeWork() { try? FileManager.default.removeItem(atPath: workPath) }

  private static func makeFolder(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw FormatsError(
        .file, "The folder '\(path)' cannot be made; check the path and its permissions, or give another with --to.",
        cause: error)
    }
  }
}
