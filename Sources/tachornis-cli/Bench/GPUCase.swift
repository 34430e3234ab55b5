// What is measured on a GPU: a title, what it costs at the least, what is asked of it, and how it is made.
//
// Invariant: a case's work does not depend on how often it runs, and nothing is allocated until it is prepared, so that the list
// of all cases costs nothing.

internal import Core
internal import Models
internal import Tensors

/// A kernel, or a program, on one shape.
struct GPUCase: Sendable {
  /// How large the shapes are.
  enum Scale: Sendable {
    /// What the emulator and the reference interpreter run in a second.
    case small
    /// What a processor checks in seconds: many tiles, all stages of a pipeline, ends that are no multiple.
    case medium
    /// What is measured.
    case full
  }

  /// What a case is to reach; all that is given.
  struct Goal: Sendable {
    /// Times the fastest peer.
    var ratio: Double?
    /// Of the measured bandwidth of the memory.
    var bandwidth: Double?
    /// Operations a second.
    var rate: Double?
    /// Milliseconds a token.
    var milliseconds: Double?
  }

  /// What is run.
  enum Work: Sendable {
    /// A graph: declares its inputs and gives its outputs.
    case graph(@Sendable (inout GPUInputs) -> GPUGraph)
    /// A step that trains a model.
    case training(GPUTraining)
  }

  /// The kind of work, as the peers' programs call it: `matmul`.
  var name: String
  var element: ElementType
  /// The extents, outermost first.
  var shape: [Int]
  /// What is done beside or instead of the plain thing: `causal`, `forward`.
  var variant: String
  /// Of one run, a multiply-add counted as two; 0 where only bytes matter.
  var operations = 0.0
  /// That must move in one run, each input and output once.
  var bytes = 0.0
  /// How many runs make a token; 0: it is not about tokens one by one.
  var runsPerToken = 0
  /// That one run trains on.
  var tokens = 0
  var goal: Goal
  /// The row of the table of goals that it belongs to.
  var row: String
  var work: Work

  var typeName: String {
    switch element {
    case .bfloat16: "bf16"
    case .float16: "f16"
    default: "f32"
    }
  }

  var shapeName: String { shape.map(String.init).joined(separator: "x") }

  /// What `--filter` is matched against and requests name.
  var title: String { "\(name) \(typeName) \(shapeName) \(variant)" }

  /// What cases of different shapes have in common: they are checked together.
  var kind: String { "\(name) \(typeName) \(variant)" }

  /// The cases of a size.
  static func all(_ scale: Scale) -> [GPUCase] {
    bandwidths(scale) + products(scale) + attentions(scale) + decodings(scale) + weightProducts(scale) + rows(scale)
      + trainings(scale)
  }

  /// As requests and results describe it.
  var json: JSONObject {
    var goals = JSONObject()
    for (name, value) in [
      ("ratio", goal.ratio), ("bandwidth", goal.bandwidth), ("rate", goal.rate), ("milliseconds", goal.milliseconds),
    ] {
      if let value { goals[name] = .number(JSONNumber(value)) }
    }
    return JSONObject([
      ("title", .string(title)), ("kind", .string(kind)), ("name", .string(name)), ("type", .string(typeName)),
      ("shape", .array(shape.map { .number(JSONNumber($0)) })), ("variant", .string(variant)),
      ("operations", .number(JSONNumber(operations))), ("bytes", .number(JSONNumber(bytes))),
      ("runsPerToken", .number(JSONNumber(runsPerToken))), ("tokens", .number(JSONNumber(tokens))),
      ("goal", .object(goals)), ("row", .string(row)),
    ])
  }
}

/// A graph that declares its inputs as it is made.
struct GPUGraph {
  var outputs: [Tensor]
  /// Output position to the input whose memory it takes over.
  var donating: [Int: Tensor] = [:]
}

/// The inputs of a graph: placeholders, and expressions of one key that make what goes into them, on whichever device.
struct GPUInputs {
  /// A random number generator's, int64.
  let key: Tensor
  private(set) var placeholders: [Tensor] = []
  private(set) var values: [Tensor] = []
  private var streams: UInt64 = 0
  /// Of a large tensor so many elements are drawn, and then repeated.
  private static let most = 1 << 26

  init(key: Tensor) { self.key = key }

  /// An input with a value that is computed before anything is measured.
  mutating func made(_ value: Tensor) -> Tensor {
    placeholders.append(.input("input \(placeholders.count)", value.type))
    values.append(value)
    return placeholders.last!
  }

  /// Uniform in [-1, 1): what is multiplied decides how much power a GPU takes, and so its clock.
  mutating func uniform(_ shape: [Int], _ element: ElementType) -> Tensor { made(drawn(shape, element)) }

  /// The same as an expression.
  mutating func drawn(_ shape: [Int], _ element: ElementType) -> Tensor {
    repeated(shape) { part, key, stream in (Tensor.uniform(part, key: key, stream: stream) * 2 - 1).cast(element) }
  }

  /// Integers in `0..<bound`, a power of two.
  mutating func integers(_ shape: [Int], below bound: Int, _ element: ElementType) -> Tensor {
    repeated(shape) { part, key, stream in
      let mask = Tensor.full(Int64(bound - 1), .scalar, .int32)
      return (Tensor.randomBits(part, key: key, stream: stream, .int32) & mask).cast(element)
    }
  }

  /// What goes into an input.
  func value(of placeholder: Tensor) -> Tensor {
    values[placeholders.firstIndex { $0.node === placeholder.node }!]
  }

  private mutating func repeated(_ dimensions: [Int], _ draw: (Shape, Tensor, UInt64) -> Tensor) -> Tensor {
    defer { streams += 1 }
    let count = dimensions.reduce(1, *)
    guard count > Self.most, let rows = dimensions.first else { return draw(Shape(dimensions), key, streams) }
    let row = count / rows
    // The most rows that a repetition of whole parts can be made of.
    let part = (1...max(1, min(rows, Self.most / row))).last { rows % $0 == 0 }!
    let drawn = draw(Shape([part] + dimensions.dropFirst()), key, streams)
    let rest = Array(dimensions.dropFirst())
    return drawn.expanded(at: 0).broadcast(to: Shape([rows / part, part] + rest)).reshaped(dimensions)
  }
}
