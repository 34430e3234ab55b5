import Emulator
import GPUBackend
import Support
import Tensors
import Testing

/// Elementary functions where they are steep, flat or not defined.
@Suite(.ownThreads) struct ElementaryTests {
  private static let special: [Double] = [
    0, -0.0, 1, -1, 0.5, -0.5, 2, 3, -3, 1e-3, -1e-3, 1e-30, 0.2499, 0.2501, 0.4999, 0.5001, 5.9, 6.1, -9, 17, 20, -20,
    40,
    -40, 85, -85, 87.3, 88, 88.7, 89, -89, 100, -100, 104, 127, 128, 150, 700, -700, 709.5, 710, -745, 746, 1e4, -1e4,
    1e9,
    -1e9, 1e30, .infinity, -.infinity, .nan,
  ]

  @Test(arguments: [ElementType.float32, .float64, .bfloat16]) func `Functions of one number`(element: ElementType)
    throws
  {
    let backend = GPUBackend(EmulatedDevice())
    for unary in Unary.allCases where unary != .logicalNot && unary != .bitwiseNot {
      // float32 has no digits left of an angle of 10^30.
      let values = unary == .sine || unary == .cosine ? Self.special.filter { !(abs($0) > 1e9) } : Self.special
      let opCase = OpCase(.unary(unary), [TensorData(values, shape: [values.count], element: element)])
      let expected = try opCase.results(on: ReferenceBackend())[0].doubles
      let actual = try opCase.results(on: backend)[0].doubles
      for (x, (a, e)) in zip(values, zip(actual, expected)) where a != e && !(a.isNaN && e.isNaN) {
        // What float32 cannot hold is infinite there.
        if element != .float64 && abs(e) > 3.4e38 && a == (e < 0 ? -.infinity : .infinity) { continue }
        #expect(abs(a - e) <= opCase.tolerance * (abs(e) + 0.05), "\(unary)(\(x)) is \(a), not \(e), in \(element)")
      }
    }
  }

  @Test(arguments: [ElementType.float32, .float64]) func `Functions of two numbers`(element: ElementType) throws {
    let numbers: [Double] = [0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 2.5, 7, 1e5, 1e-5, .infinity, -.infinity, .nan]
    let pairs = numbers.flatMap { a in numbers.map { (a, $0) } }
    let inputs = [pairs.map(\.0), pairs.map(\.1)].map { TensorData($0, shape: [pairs.count], element: element) }
    let backend = GPUBackend(EmulatedDevice())
    for binary in [Binary.power, .modulo, .divide, .maximum, .minimum] {
      let opCase = OpCase(.binary(binary), inputs)
      let expected = try opCase.results(on: ReferenceBackend())[0].doubles
      let actual = try opCase.results(on: backend)[0].doubles
      for ((x, y), (a, e)) in zip(pairs, zip(actual, expected)) where a != e && !(a.isNaN && e.isNaN) {
        #expect(abs(a - e) <= opCase.tolerance * abs(e), "\(binary)(\(x), \(y)) is \(a), not \(e), in \(element)")
      }
    }
  }
}
