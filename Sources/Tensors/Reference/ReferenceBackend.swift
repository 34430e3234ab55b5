public struct ReferenceBackend: Backend {
  public init() {}
  public var name: String { "reference" }
  public func compile(_ program: Program) throws -> any Executable { preconditionFailure() }
}
