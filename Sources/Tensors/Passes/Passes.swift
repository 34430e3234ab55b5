extension Program {
  mutating func simplify() {}
  mutating func rematerialise() {}
  mutating func fuse() {}
  mutating func hoistConstants() {}
}
extension MemoryPlan { init(for program: Program) { self.init() } }
