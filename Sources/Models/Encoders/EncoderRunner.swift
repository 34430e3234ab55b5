// Runs an encoder over any number of texts: sorted by length and laid one behind another in rows of equal length, which is
// filled up only to the next multiple of a few positions.
//
// Invariant: what comes out for a text is the same, up to the order of sums, whatever else is in the list.

package import Formats
internal import Networks
package import Tensors

/// Computes hidden states, and what heads make of them.
package final class EncoderRunner {
  package let encoder: any Encoder
  package let task: EncoderTask
  private let binding: WeightBinding
  private let backend: any Backend
  /// By the number of positions in a row, and of rows of a head.
  private var programs: [Int: any Executable] = [:]
  private var heads: [Int: any Executable] = [:]

  /// The most positions of a row that holds several texts: enough for products to run at full speed, and few enough for
  /// hidden states to stay in caches.
  static let rowLength = 1024
  /// The positions of a row that holds `length`: the next multiple of a sixteenth of the next power of two, so that rows of
  /// like length share a program, whose memory is in place from its second run on.
  static func filled(_ length: Int) -> Int {
    let step = max(16, (1 << (Int.bitWidth - (length - 1).leadingZeroBitCount)) / 16)
    return (length + step - 1) / step * step
  }

  /// The most programs that are kept.
  static let keptPrograms = 24

  package init(
    _ pretrained: PretrainedEncoder, task: EncoderTask, precision: WeightPrecision = .stored, backend: any Backend
  ) throws {
    encoder = pretrained.encoder
    self.task = task
    self.backend = backend
    binding = try pretrained.weights(for: task, precision)
  }

  /// The hidden states of each text, handed to `receive` with the text's number, in the order in which they are computed:
  /// [tokens, width], valid during the call.
  ///
  /// - Precondition: each text has a token at least and no more than the model reads.
  package func states(
    of texts: [TokenizedText], receive: (Int, UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    for row in EncoderRunner.rows(of: texts.map(\.tokens.count)) {
      let length = row.map { texts[$0].tokens.count }.reduce(0, +)
      let filled = EncoderRunner.filled(length)
      let inputs = (0..<4).map { _ in TensorData(TensorType(.int32, [1, filled])) }
      let columns = inputs.map { $0.pointer.assumingMemoryBound(to: Int32.self) }
      // What fills the row up is a text of its own.
      for index in length..<filled { columns[3][index] = Int32(row.count) }
      var place = 0
      for (segment, text) in row.enumerated() {
        precondition(
          !texts[text].tokens.isEmpty && texts[text].tokens.count <= encoder.context,
          "a text of \(texts[text].tokens.count) tokens for a model that reads 1 to \(encoder.context)")
        for (position, (token, type)) in zip(texts[text].tokens, texts[text].types).enumerated() {
          columns[0][place] = token
          columns[1][place] = type
          columns[2][place] = Int32(position)
          columns[3][place] = Int32(segment)
          place += 1
        }
      }
      let hidden = try program(filled).run(inputs + binding.values)[0]
      var start = hidden.pointer.assumingMemoryBound(to: Float.self)
      for text in row {
        let count = texts[text].tokens.count * encoder.width
        try withExtendedLifetime(hidden) { try receive(text, UnsafeBufferPointer(start: start, count: count)) }
        start += count
      }
    }
  }

  /// The pooled states of each text, in order: [width].
  package func pooled(_ texts: [TokenizedText], _ pooling: Pooling) throws -> [[Float]] {
    var result = [[Float]](repeating: [], count: texts.count)
    try states(of: texts) { result[$0] = pooling($1, width: encoder.width) }
    return result
  }

  /// What the task's head makes of rows [n, width]: [n][outputs].
  package func head(_ rows: [[Float]]) throws -> [[Float]] {
    if rows.isEmpty { return [] }
    let input = TensorData(rows.flatMap(\.self), shape: [rows.count, encoder.width])
    let output = try headProgram(rows.count).run([input] + binding.values)[0].floats
    let outputs = output.count / rows.count
    return rows.indices.map { Array(output[($0 * outputs)..<(($0 + 1) * outputs)]) }
  }

  /// The logits of each text, in order: of a classification [labels]; of tasks about tokens [tokens · outputs].
  package func logits(_ texts: [TokenizedText]) throws -> [[Float]] {
    if case .classification = task { return try head(pooled(texts, encoder.classifierPooling)) }
    var result = [[Float]](repeating: [], count: texts.count)
    try states(of: texts) { text, states in
      let width = encoder.width
      let rows = stride(from: 0, to: states.count, by: width).map { Array(states[$0..<($0 + width)]) }
      result[text] = try head(rows).flatMap(\.self)
    }
    return result
  }

  /// Texts of these lengths in rows, the longest first.
  package static func rows(of lengths: [Int]) -> [[Int]] {
    let total = lengths.reduce(0, +)
    // Rows of like length, so that few programs do.
    let count = max(1, (total + rowLength - 1) / rowLength)
    let limit = max(lengths.max() ?? 0, filled(max(1, (total + count - 1) / count)))
    var rows: [[Int]] = []
    var room = 0
    for text in lengths.indices.sorted(by: { (lengths[$0], $1) > (lengths[$1], $0) }) {
      if rows.isEmpty || lengths[text] > room {
        rows.append([])
        room = limit
      }
      rows[rows.count - 1].append(text)
      room -= lengths[text]
    }
    return rows
  }

  // MARK: Programs

  private func program(_ length: Int) throws -> any Executable {
    if let known = programs[length] { return known }
    let inputs = ["tokens", "types", "positions", "segments"].map {
      Tensor.input($0, TensorType(.int32, [1, length]))
    }
    let context = ModelContext.training(positions: inputs[2], segments: inputs[3])
    let hidden = encoder.hidden(inputs[0], types: inputs[1], binding.store.root, context).cast(.float32)
    return try compile(inputs, hidden, length, in: &programs)
  }

  private func headProgram(_ count: Int) throws -> any Executable {
    if let known = heads[count] { return known }
    let rows = Tensor.input("rows", TensorType(.float32, [count, encoder.width]))
    return try compile([rows], encoder.head(task, rows, binding.store.root).cast(.float32), count, in: &heads)
  }

  private func compile(
    _ inputs: [Tensor], _ output: Tensor, _ size: Int, in programs: inout [Int: any Executable]
  ) throws -> any Executable {
    let parameters = binding.store.parameters.map { binding.store.given($0.name) }
    let executable = try backend.compile(Program(inputs: inputs + parameters, outputs: [output]))
    if programs.count == EncoderRunner.keptPrograms { programs = [:] }
    programs[size] = executable
    return executable
  }
}
