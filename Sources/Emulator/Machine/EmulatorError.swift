// The error of this target: what a program did wrong, and where: kernel, instruction, block, warp, lane.
//
// Invariant: an error says with which value, and what to do. Instructions throw without a place; the machine adds it, because
// it knows which warp ran what.

public import Core

/// Why a program cannot be run, or went wrong while it ran.
public struct EmulatorError: CodedError, Hashable {
  public enum Code: Hashable, Sendable {
    // Modules and launches.
    case unsupported, launch
    // Memory.
    case outOfBounds, misaligned, uninitialised
    // Order.
    case race, missingProxyFence, inFlight
    // Barriers.
    case transactionCount, parity, barrier, divergence, deadlock, noProgress
    // Blocks.
    case exitedPeer, registerBudget
    // Matrix instructions and tensor copies.
    case descriptor, tensorMap, tensorMemory
    /// The program ran `trap`.
    case trap
  }

  /// Where it happened.
  public struct Place: Hashable, Sendable, CustomStringConvertible {
    public var kernel: String
    /// Of the instruction in the kernel, from 0; labels and declarations are not counted.
    public var index: Int?
    public var instruction: String?
    /// `(x, y, z)` of the block.
    public var block: String?
    public var warp: Int?
    public var lane: Int?

    public var description: String {
      var parts: [String] = ["kernel \(kernel)"]
      if let index, let instruction { parts.append("instruction \(index) `\(instruction)`") }
      if let block { parts.append("block \(block)") }
      if let warp { parts.append("warp \(warp)") }
      if let lane { parts.append("lane \(lane)") }
      return parts.joined(separator: ", ")
    }
  }

  public let code: Code
  /// What is wrong, and what to do.
  public let problem: String
  public internal(set) var place: Place?
  /// The lane that did it, before the place is known.
  var lane: Int?

  /// An error at the instruction that runs, or is decoded, now.
  init(_ code: Code, lane: Int? = nil, _ problem: String) {
    (self.code, self.lane, self.problem) = (code, lane, problem)
  }

  /// An error with its place, for what happens outside of a step (an effect that lands late).
  init(_ code: Code, at place: Place, _ problem: String) {
    (self.code, self.place, self.problem) = (code, place, problem)
  }

  public var message: String { place.map { "\($0): \(problem)" } ?? problem }
}
