// The four normalisation forms (Unicode standard annex 15), over UTF-8 and without ICU.
//
// Decompositions come from a generated table, combining classes from the standard library. Text that a glance shows to be
// normalised already (all ASCII; for NFC nearly all text there is) is not touched.

/// A normalisation form.
enum UnicodeForm: String, Sendable {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  var isCompatible: Bool { self == .nfkc || self == .nfkd }
  var isComposed: Bool { self == .nfc || self == .nfkc }

  /// Brings valid UTF-8 into this form.
  func apply(_ text: inout [UInt8]) {
    let data = NormalizationData.shared
    var isNormal = true
    text.withUnsafeBufferPointer { text in
      UTF8Scan.forEachScalar(in: text) { if $0 >= 0x80, data.mayChange($0, in: self) { isNormal = false } }
    }
    if isNormal { return }
    var scalars: [(value: UInt32, order: UInt8)] = []
    scalars.reserveCapacity(text.count)
    text.withUnsafeBufferPointer { text in
      UTF8Scan.forEachScalar(in: text) { data.decompose($0, isCompatible, into: &scalars) }
    }
    Self.reorder(&scalars)
    if isComposed { data.compose(&scalars) }
    text.removeAll(keepingCapacity: true)
    for scalar in scalars { UTF8Scan.append(scalar.value, to: &text) }
  }

  /// Sorts each run of combining marks by class, keeping the order of equals.
  private static func reorder(_ scalars: inout [(value: UInt32, order: UInt8)]) {
    var start = 0
    while start < scalars.count {
      guard scalars[start].order != 0 else {
        start += 1
        continue
      }
      var end = start
      while end < scalars.count, scalars[end].order != 0 { end += 1 }
      if end - start > 1 {
        let sorted = scalars[start..<end].enumerated().sorted {
          ($0.element.order, $0.offset) < ($1.element.order, $1.offset)
        }
        for (index, entry) in sorted.enumerated() { scalars[start + index] = entry.element }
      }
      start = end
    }
  }
}

/// What the forms need to know of each character.
final class NormalizationData: Sendable {
  static let shared = NormalizationData()

  private static let flagged = 0x30000
  private static let hasCanonical: UInt16 = 0x100
  private static let hasCompatible: UInt16 = 0x200
  /// The character is not allowed in NFC, or may combine with one before it.
  private static let notComposed: UInt16 = 0x400

  /// The combining class in the low byte, and the flags above.
  private let flags: [UInt16]
  /// One step of decomposition.
  private let mappings: [UInt32: [UInt32]]
  /// first << 32 | second -> composed
  private let compositions: [UInt64: UInt32]

  private init() {
    var flags = [UInt16](repeating: 0, count: Self.flagged)
    var mappings: [UInt32: [UInt32]] = [:]
    var compositions: [UInt64: UInt32] = [:]
    for value in 0x300..<0x1F000 {  // no character beyond these bounds has a combining class
      guard let scalar = Unicode.Scalar(UInt32(value)) else { continue }
      let order = scalar.properties.canonicalCombiningClass.rawValue
      if order != 0 { flags[value] = UInt16(order) | Self.notComposed }
    }
    for value in [0x1161...0x1175, 0x11A8...0x11C2].joined() { flags[value] |= Self.notComposed }
    for value in 0xAC00...0xD7A3 { flags[value] |= Self.hasCanonical }
    Self.forEachEntry { value, kind, mapping in
      mappings[value] = mapping
      switch kind {
      case 2: flags[Int(value)] |= Self.hasCompatible
      case 1: flags[Int(value)] |= Self.hasCanonical | Self.notComposed
      default:
        flags[Int(value)] |= Self.hasCanonical
        compositions[UInt64(mapping[0]) << 32 | UInt64(mapping[1])] = value
        flags[Int(mapping[1])] |= Self.notComposed
      }
    }
    // A canonical mapping may lead to characters with a compatible one.
    func isCompatible(_ value: UInt32) -> Bool {
      flags[Int(value)] & Self.hasCompatible != 0 || mappings[value]?.contains { isCompatible($0) } ?? false
    }
    for value in mappings.keys where isCompatible(value) { flags[Int(value)] |= Self.hasCompatible }
    self.flags = flags
    self.mappings = mappings
    self.compositions = compositions
  }

  private static func forEachEntry(_ body: (UInt32, Int, [UInt32]) -> Void) {
    let bytes = decompositionTable.withUTF8Buffer { Base64.decode($0)! }
    var position = 0
    func number() -> Int {
      var value = 0
      var shift = 0
      while true {
        let byte = Int(bytes[position])
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 { return value }
      }
    }
    var character = 0
    var last = 0
    while position < bytes.count {
      character += number()
      let header = number()
      var mapping: [UInt32] = []
      for _ in 0..<header / 4 {
        let distance = number()
        last += distance & 1 == 0 ? distance / 2 : -(distance + 1) / 2
        mapping.append(UInt32(last))
      }
      body(UInt32(character), header % 4, mapping)
    }
  }

  private func flags(_ value: UInt32) -> UInt16 { value < Self.flagged ? flags[Int(value)] : 0 }

  /// Whether a text with this character may have to change to be in `form`.
  func mayChange(_ value: UInt32, in form: UnicodeForm) -> Bool {
    let mask: UInt16 =
      switch form {
      case .nfc: Self.notComposed
      case .nfd: Self.hasCanonical | 0xFF
      case .nfkc: Self.notComposed | Self.hasCompatible
      case .nfkd: Self.hasCanonical | Self.hasCompatible | 0xFF
      }
    return flags(value) & mask != 0
  }

  /// Appends the full decomposition with combining classes.
  func decompose(_ value: UInt32, _ isCompatible: Bool, into output: inout [(value: UInt32, order: UInt8)]) {
    let flags = flags(value)
    if (0xAC00...0xD7A3).contains(value) {
      let index = value - 0xAC00
      output.append((0x1100 + index / 588, 0))
      output.append((0x1161 + index % 588 / 28, 0))
      if index % 28 > 0 { output.append((0x11A7 + index % 28, 0)) }
    } else if flags & Self.hasCanonical != 0 || isCompatible && flags & Self.hasCompatible != 0 {
      for part in mappings[value]! { decompose(part, isCompatible, into: &output) }
    } else {
      output.append((value, UInt8(truncatingIfNeeded: flags)))
    }
  }

  /// Joins each mark with the last starter before it where nothing of its class or above stands between.
  func compose(_ scalars: inout [(value: UInt32, order: UInt8)]) {
    var written = 0
    var starter: Int?
    for scalar in scalars {
      if let starter, let joined = composition(scalars[starter].value, scalar.value),
        starter == written - 1 || scalars[written - 1].order != 0 && scalars[written - 1].order < scalar.order
      {
        scalars[starter].value = joined
        continue
      }
      scalars[written] = scalar
      if scalar.order == 0 { starter = written }
      written += 1
    }
    scalars.removeSubrange(written...)
  }

  private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if (0x1100...0x1112).contains(first), (0x1161...0x1175).contains(second) {
      return 0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28
    }
    if (0xAC00...0xD7A3).contains(first), (first - 0xAC00) % 28 == 0, (0x11A8...0x11C2).contains(second) {
      return first + second - 0x11A7
    }
    return compositions[UInt64(first) << 32 | UInt64(second)]
  }
}
