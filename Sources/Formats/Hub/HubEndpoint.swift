// Where a hub is and how one shows who asks: addresses as the Hugging Face Hub has them
// (huggingface.co/docs/hub/api), and the access token.
//
// Invariant: the token goes to the hub's own origin (scheme, host and port) and nowhere else, and never unencrypted over
// a network.

internal import FoundationEssentials

/// A hub and the token for it.
public struct HubEndpoint: Sendable {
  /// The hub that is meant where nothing else is said.
  public static let standardHost = "https://huggingface.co"

  /// The hub's address without a slash at its end.
  public let host: String
  private let origin: Origin
  private let token: String?
  /// How it is reached.
  let network: HubNetwork

  /// - Parameters:
  ///   - host: the address of the hub; nil for `HF_ENDPOINT` of the environment, and if that is not set the standard one.
  ///   - environment: `HF_TOKEN` is the token; without it the file `token` in `HF_HOME` or `~/.cache/huggingface`.
  ///     `SSL_CERT_FILE` names certificates to trust instead of the system's, `HTTPS_PROXY` a proxy, `NO_PROXY` hosts that are
  ///     reached without it.
  /// - Throws: `FormatsError.Code.setting` where the address or the token is malformed.
  public init(host: String? = nil, environment: [String: String]) throws(FormatsError) {
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    var address = host ?? variable("HF_ENDPOINT") ?? Self.standardHost
    if !address.contains("://") { address = "https://" + address }
    while address.hasSuffix("/") { address.removeLast() }
    guard let origin = Origin(address), !address.contains(where: { "?#@ ".contains($0) }) else {
      throw FormatsError(
        .setting,
        "\(quoted(withoutCredentials(address))) is not the address of a hub; give --host or HF_ENDPOINT something like \(Self.standardHost)."
      )
    }
    self.host = address
    self.origin = origin
    network = try HubNetwork(for: address, environment: environment)

    var secret = variable("HF_TOKEN")
    if secret == nil {
      let home = variable("HF_HOME") ?? variable("HOME").map { $0 + "/.cache/huggingface" }
      secret = home.flatMap { try? Data(contentsOf: URL(filePath: $0 + "/token")) }
        .map { String(decoding: $0, as: UTF8.self) }
    }
    let trimmed = secret.map { String($0.drop(while: \.isWhitespace).prefix { !$0.isWhitespace }) } ?? ""
    guard trimmed.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw FormatsError(.setting, "The access token holds characters that no token has; check HF_TOKEN.")
    }
    token = trimmed.isEmpty ? nil : trimmed
  }

  /// Whether there is a token at all.
  var hasToken: Bool { token != nil }

  /// Whether `address` is the hub's own.
  func owns(_ address: String) -> Bool { Origin(address) == origin }

  /// The token, if `address` may see it.
  func token(for address: String) -> String? {
    guard owns(address), origin.scheme == "https" || origin.isThisMachine else { return nil }
    return token
  }

  /// Where the list of a model's files is.
  func listing(of model: HubModel, revision: String) -> String {
    "\(host)/api/models/\(model.name)/revision/\(Self.escaped(revision))?blobs=true"
  }

  /// Where a file of a model is.
  func file(_ path: String, of model: HubModel, commit: String) -> String {
    let parts = path.split(separator: "/").map { Self.escaped(String($0)) }
    return "\(host)/\(model.name)/resolve/\(commit)/\(parts.joined(separator: "/"))"
  }

  /// `text` as one segment of an address: everything but the unreserved characters of RFC 3986 as %XX.
  static func escaped(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      let scalar = Unicode.Scalar(byte)
      if scalar.isASCII,
        scalar.properties.isAlphabetic || scalar.properties.numericType != nil || "-._~".contains(Character(scalar))
      {
        result.unicodeScalars.append(scalar)
      } else {
        result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return result
  }
}

/// What decides whether two addresses belong to the same server.
struct Origin: Equatable {
  let scheme: String
  let host: String
  let port: Int

  /// nil where `address` is no http or https address.
  init?(_ address: String) {
    guard let url = URL(string: address), let scheme = url.scheme?.lowercased(), scheme == "http" || scheme == "https",
      let host = url.host()?.lowercased(), !host.isEmpty
    else { return nil }
    self.scheme = scheme
    self.host = host
    port = url.port ?? (scheme == "https" ? 443 : 80)
  }

  /// Whether what is sent there does not leave this machine.
  var isThisMachine: Bool { ["localhost", "127.0.0.1", "::1", "[::1]"].contains(host) }
}
