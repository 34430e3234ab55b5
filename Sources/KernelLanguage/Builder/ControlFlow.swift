// Branches and loops. Bodies are closures that are run once, while the kernel is built; plain Swift loops unroll.

extension KernelBuilder {
  /// `body` in those threads where the predicate holds, `otherwise` in the others.
  public func when(_ predicate: Value<Predicate>, _ body: () -> Void, otherwise: (() -> Void)? = nil) {
    let end = label()
    guard let otherwise else {
      branch(end, if: predicate, isNegated: true)
      body()
      return place(end)
    }
    let alternative = label()
    branch(alternative, if: predicate, isNegated: true)
    body()
    branch(end)
    place(alternative)
    otherwise()
    place(end)
  }

  /// One of two values: no branch.
  public func select<T: RegisterType>(_ predicate: Value<Predicate>, _ a: Value<T>, _ b: Value<T>) -> Value<T> {
    result(T.self, "selp.\(T.movedType)", a.operand, b.operand, predicate.operand)
  }

  /// A loop over `start`, `start + step`, ... below `end`.
  ///
  /// - Parameter body: gets the index, which it does not write, and a handle to leave the loop by.
  public func loop<T: IntegerType>(
    from start: Value<T>, to end: Value<T>, by step: Value<T> = 1, _ body: (Value<T>) -> Void
  ) {
    let index = variable(start)
    loop { loop in
      loop.leave(when: index .>= end)
      body(index)
      index += step
    }
  }

  /// A loop over `0 ..< count`.
  public func loop<T: IntegerType>(_ count: Value<T>, _ body: (Value<T>) -> Void) { loop(from: 0, to: count, body) }

  /// A loop without end, but for `leave`.
  public func loop(_ body: (Loop) -> Void) {
    let (start, end) = (label(), label())
    place(start)
    body(Loop(builder: self, end: end))
    branch(start)
    place(end)
  }

  /// Ends the thread.
  public func exit(when predicate: Value<Predicate>? = nil) {
    guard let predicate else { return emit("exit") }
    only(if: predicate) { emit("exit") }
  }

  /// Ends the launch with an error.
  public func trap() { emit("trap") }
}

/// A loop that is being built.
public struct Loop {
  let builder: KernelBuilder
  let end: String

  /// Leaves the loop in those threads where the predicate holds.
  public func leave(when predicate: Value<Predicate>) { builder.branch(end, if: predicate) }
}
