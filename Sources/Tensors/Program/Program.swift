/// A computation that is ready to be run again and again: the graph of some outputs as a list of instructions.
///
/// A program is traced once from Swift code, improved by passes, given a static memory plan, compiled by a backend, and then
/// replayed without allocation or tracing. Values are numbered; each is written by one instruction.
///
///     let program = Program(inputs: [x, y], outputs: [z, dx], donating: [0: 1])
///
/// **Donation.** An output may take over the memory of an input (parameters and optimizer states do): the backend then
/// updates the input's `TensorData` in place, and the input's old value is gone after the run.
///
/// **Varying extent.** Where the shapes of inputs say so (`Shape.varies`), a program is planned once for the largest leading
/// dimension and can be run with any smaller one.
public struct Program: Sendable {
  /// An index into `types`.
  public typealias Value = Int

  public struct Instruction: Sendable {
    public var op: Op
    public var inputs: [Value]
    public var results: [Value]
    /// Where in the model it comes from.
    public var scope: Scope?
  }

  /// The type of each value, at the largest extent.
  public internal(set) var types: [TensorType]
  public internal(set) var instructions: [Instruction]
  /// In the order in which they are given to a run.
  public let inputs: [Value]
  public let inputNames: [String]
  /// In the order in which a run gives them back.
  public internal(set) var outputs: [Value]
  /// Output position to the position of the input whose memory it takes over.
  public let donations: [Int: Int]
  /// What the leading dimension of varying values is a multiple of; nil if nothing varies.
  public let extent: Int?
  /// How many of the first instructions depend on constants only: a backend runs them once, when it compiles.
  public internal(set) var constantCount = 0
  public internal(set) var plan = MemoryPlan()

  /// Which passes to apply; all of them unless one looks for a mistake.
  public struct Options: Sendable {
    public var simplifies = true
    public var rematerialises = true
    public var fuses = true
    /// Whether products with weights in blocks keep float activations; see `BlockMatmul.exact`.
    public var exactBlocks = false

    public init(simplifies: Bool = true, rematerialises: Bool = true, fuses: Bool = true, exactBlocks: Bool = false) {
      self.exactBlocks = exactBlocks
      self.simplifies = simplifies
      self.rematerialises = rematerialises
      self.fuses = fuses
    }
  }

  /// Traces the graph of `outputs` and plans it.
  ///
  /// - Parameters:
  ///   - inputs: placeholders (`Tensor.input`); every placeholder that the outputs depend on must be among them.
  ///   - donating: output position to input position, of the same type.
  public init(inputs: [Tensor], outputs: [Tensor], donating: [Int: Int] = [:], options: Options = Options()) {
    self.init(tracing: inputs, outputs: outputs, donating: donating)
    if options.simplifies { simplify(exactBlocks: options.exactBlocks) }
    if options.rematerialises { rematerialise() }
    if options.fuses { fuse() }
    hoistConstants()
    plan = MemoryPlan(for: self)
  }

  /// The producer of each value, by index into `instructions`.
  package var producers: [Value: Int] {
    var result: [Value: Int] = [:]
    for (index, instruction) in instructions.enumerated() {
      for value in instruction.results { result[value] = index }
    }
    return result
  }

  /// For each value the instructions that read it (once for each time), in order.
  package var consumers: [[Int]] {
    var result = [[Int]](repeating: [], count: types.count)
    for (index, instruction) in instructions.enumerated() {
      for value in instruction.inputs { result[value].append(index) }
    }
    return result
  }

  /// The type of a value in a run of the given extent.
  public func type(of value: Value, extent: Int) -> TensorType {
    let type = types[value]
    guard let maximum = self.extent else { return type }
    return TensorType(type.element, type.shape.scaled(extent: extent, maximum: maximum))
  }
}
