// Fits a line to points: the gradient of a closure, a program that is traced once, and its replay.
//
//     swift run -c release LinearRegression

import Tachornis

@main
enum LinearRegression {
  static func main() throws {
    let x = Tensor.uniform([64, 1], key: Tensor(1, .int64))
    let y = x * 3 + 2

    let weight = Tensor.input("weight", TensorType(.float32, [1, 1]))
    let bias = Tensor.input("bias", TensorType(.float32, [1]))
    let (loss, slopes) = valueAndGradient(at: [weight, bias]) { parameters in
      (x.linear(parameters[0], bias: parameters[1]) - y).squared().mean()
    }
    // Outputs 1 and 2 take over the memory of inputs 0 and 1: a step updates the parameters in place.
    let program = Program(
      inputs: [weight, bias], outputs: [loss, weight - 0.5 * slopes[0], bias - 0.5 * slopes[1]],
      donating: [1: 0, 2: 1])
    print(program)

    let step = try CPUBackend().compile(program)
    let parameters = [TensorData(weight.type), TensorData(bias.type)]
    for _ in 1..<200 { _ = try step.run(parameters) }
    let final = try step.run(parameters)[0].item
    print("loss \(final), y = \(parameters[0].item) x + \(parameters[1].item)")
  }
}
