import Support
import Tensors
import Testing

@Suite struct ShapeTests {
  @Test func `Broadcasting aligns the last axes and repeats what is 1`() {
    #expect(Shape.broadcast([3, 1], [4])?.dimensions == [3, 4])
    #expect(Shape.broadcast([], [2, 0])?.dimensions == [2, 0])
    #expect(Shape.broadcast([1], [0])?.dimensions == [0])
    #expect(Shape.broadcast([2, 3], [3, 2]) == nil)
    #expect(Shape([3, 1]).strides(broadcastTo: [2, 3, 4]) == [0, 1, 0])
    #expect(Shape([2, 3, 4]).strides == [12, 4, 1])
    #expect(Shape([2, 0]).count == 0)
    #expect(Shape([]).count == 1)
  }

  @Test func `What varies keeps varying only while it leads`() {
    let x = Tensor.input("x", TensorType(.float32, Shape([8, 4], varies: true)))
    #expect((x + 1).shape.varies)
    #expect((x * Tensor.ones([4])).shape.varies)
    #expect(x.reshaped(16, 2).shape.varies)
    #expect(!x.sum([0]).shape.varies)
    #expect(x.sum([1]).shape.varies)
    #expect(x.matmul(.ones([4, 3])).shape.varies)
    #expect(!x.matmul(x, transposeA: true).shape.varies)
    #expect(Tensor.ones([9, 4]).gathered(.input("i", TensorType(.int32, Shape([8], varies: true)))).shape.varies)
  }

  @Test func `Types meet in the smallest that loses neither's range`() {
    #expect(ElementType.promote(.bool, .uint8) == .uint8)
    #expect(ElementType.promote(.uint8, .int8) == .int32)
    #expect(ElementType.promote(.int64, .int8) == .int64)
    #expect(ElementType.promote(.int64, .bfloat16) == .bfloat16)
    #expect(ElementType.promote(.float16, .bfloat16) == .float32)
    #expect(ElementType.promote(.float32, .float64) == .float64)
    for a in ElementType.allCases {
      for b in ElementType.allCases { #expect(ElementType.promote(a, b) == ElementType.promote(b, a)) }
    }
    #expect((Tensor.ones([2], .int32) + 1).element == .int32)
    #expect((Tensor.ones([2], .int32) * 0.5).element == .float32)
    #expect((Tensor.ones([2], .bfloat16) * 0.5).element == .bfloat16)
  }

  @Test func `Results have the types that the rules say`() {
    let x = Tensor.ones([2, 3, 4])
    #expect(x.sum([1]).shape == [2, 4])
    #expect(x.sum([1], keeps: true).shape == [2, 1, 4])
    #expect(x.permuted(2, 0, 1).shape == [4, 2, 3])
    #expect(x.padded([Padding(before: 1), Padding(between: 2), Padding(after: 3)]).shape == [3, 7, 7])
    #expect(x.sliced(0..<3, axis: 1, step: 2).shape == [2, 2, 4])
    #expect(x.gathered(Tensor([0, 1, 0, 1, 1] as [Int32]), axis: 1).shape == [2, 5, 4])
    #expect(x.matmul(.ones([4, 5])).shape == [2, 3, 5])
    #expect(x.argMax().element == .int32)
    #expect(x.topK(2).values.shape == [2, 3, 2])
    #expect((x .> 0).element == .bool)
    #expect(Tensor.ones([2, 2], .int8).matmul(.ones([2, 2], .int8)).element == .int32)
  }

  @Test func `Shapes that do not fit stop with the operation and both shapes`() async {
    await #expect(processExitsWith: .failure) { _ = Tensor.ones([2, 3]) + Tensor.ones([2]) }
    await #expect(processExitsWith: .failure) { _ = Tensor.ones([2, 3]).matmul(Tensor.ones([2, 3])) }
    await #expect(processExitsWith: .failure) { _ = Tensor.ones([2, 3]).reshaped(5) }
  }
}
