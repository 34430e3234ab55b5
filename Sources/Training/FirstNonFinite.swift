// Where the first NaN or infinity of a step arose.

package import Tensors

/// Watches the results of instructions for the first that is not finite although all it was made from is.
package struct FirstNonFinite {
  package private(set) var finding: String?

  package init() {}

  /// - Parameter program: the program that the instruction is of, for printing it.
  package mutating func inspect(_ instruction: Program.Instruction, _ results: [TensorData], in program: Program) {
    guard finding == nil else { return }
    for result in results where result.type.element.isFloat {
      guard let place = FirstNonFinite.firstBad(in: result) else { continue }
      let layer = instruction.scope.map { " of \($0.path)" } ?? ""
      finding =
        "\(instruction.op.name)\(layer) gave \(result[place].double) as element \(place) of "
        + "\(result.type): \(program.text(of: instruction))"
      return
    }
  }

  private static func firstBad(in data: TensorData) -> Int? {
    if data.type.element == .float32 {
      let values = UnsafeBufferPointer(start: data.pointer.assumingMemoryBound(to: Float.self), count: data.count)
      return values.firstIndex { !$0.isFinite }
    }
    return (0..<data.count).first { !data[$0].double.isFinite }
  }
}
