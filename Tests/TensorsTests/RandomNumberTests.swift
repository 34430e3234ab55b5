import Core
import Support
import Tensors
import Testing

@Suite struct RandomNumberTests {
  private func read(_ tensor: Tensor) throws -> [Double] {
    try DefaultBackend.with(ReferenceBackend()) { try tensor.data().doubles }
  }

  @Test func `Numbers are a function of key, stream and position`() throws {
    let key = Tensor.full(Int64(-5), [])
    let stream = RandomStream(key: UInt64(bitPattern: -5), stream: 9)
    let uniform = try read(.uniform([11], key: key, stream: 9, .float64))
    #expect(uniform == (0..<11).map { stream.uniform(at: $0) })
    let normal = try read(.normal([11], key: key, stream: 9, .float64))
    #expect(normal == (0..<11).map { stream.normal(at: $0) })
    // A shorter tensor is the beginning of a longer one.
    #expect(try read(.uniform([5], key: key, stream: 9, .float64)) == Array(uniform.prefix(5)))
    let bits = try DefaultBackend.with(ReferenceBackend()) { try Tensor.randomBits([6], key: key, stream: 9).data() }
    #expect(bits.integers == (0..<6).map { Int64(stream.word(at: $0)) })
    let narrow = try DefaultBackend.with(ReferenceBackend()) {
      try Tensor.randomBits([6], key: key, stream: 9, .int32).data()
    }
    #expect(narrow.integers == (0..<6).map { Int64(Int32(bitPattern: stream.word(at: $0))) })
  }

  @Test func `The first words are those of Philox's authors`() throws {
    // Philox 4x32-10 of counter 0 and key 0, from the known answers that come with Random123.
    let bits = try DefaultBackend.with(ReferenceBackend()) {
      try Tensor.randomBits([4], key: .full(Int64(0), [])).data()
    }
    #expect(bits.integers == [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8])
  }

  @Test func `Moments are those of the distribution`() throws {
    let key = Tensor.full(Int64(7), [])
    let n = 20_000
    let uniform = try read(.uniform([n], key: key))
    #expect(uniform.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(abs(uniform.reduce(0, +) / Double(n) - 0.5) < 0.01)
    let normal = try read(.normal([n], key: key))
    #expect(abs(normal.reduce(0, +) / Double(n)) < 0.03)
    #expect(abs(normal.reduce(0) { $0 + $1 * $1 } / Double(n) - 1) < 0.05)
    let kept = try read(Tensor.ones([n]).dropout(0.25, key: key, stream: 3))
    #expect(abs(kept.reduce(0, +) / Double(n) - 1) < 0.02)
    #expect(Set(kept) == [0, Double(Float(1 / 0.75))])
  }
}
