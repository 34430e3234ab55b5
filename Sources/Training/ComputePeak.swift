// How fast this machine multiplies matrices: what MFU is a fraction of.

package import Core
package import Tensors

package enum ComputePeak {
  /// FLOP/s of the best of several products of 768 x 768 matrices on `backend`; takes some ten milliseconds.
  package static func measure(_ element: ElementType, backend: any Backend, clock: any SecondsClock) throws -> Double {
    let size = 768
    let (a, b) = (
      Tensor.input("a", TensorType(element, [size, size])), Tensor.input("b", TensorType(element, [size, size]))
    )
    let product = try backend.compile(Program(inputs: [a, b], outputs: [a.matmul(b, transposeB: true)]))
    let values = [TensorData(a.type), TensorData(b.type)]
    var best = Double.infinity
    for _ in 0..<6 {
      let start = clock.seconds
      _ = try product.run(values)
      best = min(best, clock.seconds - start)
    }
    return 2 * Double(size * size * size) / best
  }
}
