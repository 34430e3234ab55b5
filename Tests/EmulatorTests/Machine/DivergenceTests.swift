// Control flow of lanes that part: against a thread at a time.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct DivergenceTests {
  private static func run(_ body: String, values: [UInt32], seed: UInt64 = 0) throws -> (
    buffers: [[UInt32]], report: LaunchReport
  ) {
    let text = Emulation.kernel(
      2,
      """
      mul.wide.u32 %d0, %g, 4; add.u64 %d1, %P0, %d0; ld.global.u32 %r0, [%d1]; mov.u32 %r1, 0; mov.u32 %r2, 0;
      \(body)
      add.u64 %d1, %P1, %d0; st.global.u32 [%d1], %r1;
      """)
    return try Emulation.run(
      text, grid: Extent(2), block: Extent(values.count / 2),
      buffers: [values, [UInt32](repeating: 0, count: values.count)], options: EmulatedGPU.Options(seed: seed))
  }

  /// Steps of Collatz' sequence: loops of very different lengths with a branch inside.
  @Test(arguments: [0, 1, 2] as [UInt64]) func loops(seed: UInt64) throws {
    var random = RandomCase("loops \(seed)")
    let values = (0..<192).map { _ in UInt32(random.integer(1...500)) }
    let body = """
      LOOP: setp.eq.u32 %p1, %r0, 1; @%p1 bra DONE;
      and.b32 %r3, %r0, 1; setp.eq.u32 %p2, %r3, 0; @%p2 bra EVEN;
      mad.lo.u32 %r0, %r0, 3, 1; bra NEXT;
      EVEN: shr.u32 %r0, %r0, 1;
      NEXT: add.u32 %r1, %r1, 1; bra LOOP;
      DONE:
      """
    func steps(_ value: UInt32) -> UInt32 {
      var (value, count) = (value, 0 as UInt32)
      while value != 1 {
        value = value % 2 == 0 ? value / 2 : 3 * value + 1
        count += 1
      }
      return count
    }
    let result = try Self.run(body, values: values, seed: seed)
    #expect(result.buffers[1] == values.map(steps), "\(random)")
  }

  /// Nested branches, a lane at a time in the innermost one, with an early exit.
  @Test func nested() throws {
    let values = (0..<64).map { UInt32($0) }
    let body = """
      and.b32 %r3, %r0, 3; setp.eq.u32 %p1, %r3, 0; setp.eq.u32 %p2, %r3, 1; setp.gt.u32 %p3, %r0, 30;
      @%p1 bra A; @%p2 bra B;
      @%p3 exit;
      add.u32 %r1, %r0, 1000; bra END;
      A: @%p3 bra AHIGH; mul.lo.u32 %r1, %r0, 2; bra END;
      AHIGH: mul.lo.u32 %r1, %r0, 3; bra END;
      B: @!%p3 bra BLOW; sub.u32 %r1, %r0, 7; bra END;
      BLOW: add.u32 %r1, %r0, 7;
      END:
      """
    let expected = values.map { value -> UInt32 in
      switch (value % 4, value > 30) {
      case (0, false): value * 2
      case (0, true): value * 3
      case (1, false): value + 7
      case (1, true): value - 7
      case (_, true): 0
      default: value + 1000
      }
    }
    #expect(try Self.run(body, values: values).buffers[1] == expected)
  }

  /// Lanes meet again behind a branch: the instructions there are run once for all of them.
  @Test func lanesMeetAgain() throws {
    let body = """
      and.b32 %r3, %r0, 1; setp.eq.u32 %p1, %r3, 0; @%p1 bra EVEN;
      mov.u32 %r2, 5; bra JOIN;
      EVEN: mov.u32 %r2, 6;
      JOIN: activemask.b32 %r1;
      """
    let result = try Self.run(body, values: (0..<64).map { UInt32($0) })
    #expect(result.buffers[1].allSatisfy { $0 == .max })
  }

  @Test func labelsAndRegistersHaveScopes() throws {
    let body = """
      { .reg .b32 %x; mov.u32 %x, 1; L: add.u32 %x, %x, 1; setp.lt.u32 %p1, %x, 10; @%p1 bra L; add.u32 %r1, %r1, %x; }
      { .reg .b32 %x; mov.u32 %x, 5; L: add.u32 %x, %x, 5; setp.lt.u32 %p1, %x, 30; @%p1 bra L; add.u32 %r1, %r1, %x; }
      """
    #expect(try Self.run(body, values: (0..<64).map { UInt32($0) }).buffers[1].allSatisfy { $0 == 40 })
  }

  @Test func uniformBranchesMustBe() throws {
    let error = #expect(throws: EmulatorError.self) {
      try Self.run(
        "setp.lt.u32 %p1, %t, 5; @%p1 bra.uni L; mov.u32 %r1, 1; L:", values: [UInt32](repeating: 0, count: 64))
    }
    #expect(error?.code == .divergence && error!.message.contains("use bra"))
  }

  /// A lane waits for another one of its warp that is further on.
  @Test func lanesOfAWarpWaitForEachOther() throws {
    let body = """
      mul.wide.u32 %d0, %t, 4; add.u64 %d1, %P1, %d0;
      setp.eq.u32 %p1, %t, 0; @!%p1 bra WAIT;
      bra SEND;
      WAIT: ld.volatile.global.u32 %r1, [%P0]; setp.ne.u32 %p2, %r1, 77; @%p2 bra WAIT;
      bra END;
      SEND: mov.u32 %r1, 77; st.volatile.global.u32 [%P0], %r1;
      END: st.global.u32 [%d1], %r1;
      """
    let result = try Emulation.run(
      Emulation.kernel(2, body), block: Extent(64), buffers: [[0], [UInt32](repeating: 0, count: 64)])
    #expect(result.buffers[1] == [UInt32](repeating: 77, count: 64))
  }
}
