// What lanes do together: shuffles, votes, matches, reductions, against loops over lanes.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct WarpTests {
  /// Stores two words for each lane: `%r1`, and whether `%p1` holds.
  private static func run(_ body: String, target: String = "sm_90a", threads: Int = 32, values: [UInt32]) throws -> [(
    UInt32, Bool
  )] {
    let text = Emulation.kernel(
      2,
      """
      mul.wide.u32 %d0, %t, 4; add.u64 %d1, %P0, %d0; ld.global.u32 %r0, [%d1]; setp.ne.u32 %p1, 0, 0; mov.u32 %r1, 0;
      \(body)
      mul.wide.u32 %d0, %t, 8; add.u64 %d1, %P1, %d0; selp.u32 %r9, 1, 0, %p1; st.global.v2.u32 [%d1], {%r1, %r9};
      """)
    let result = try Emulation.run(
      text, target: target, block: Extent(threads), buffers: [values, [UInt32](repeating: 0, count: 64)])
    return (0..<threads).map { (result.buffers[1][2 * $0], result.buffers[1][2 * $0 + 1] == 1) }
  }

  private static func values(_ name: String) -> (RandomCase, [UInt32]) {
    var random = RandomCase(name)
    return (random, (0..<32).map { _ in UInt32(truncatingIfNeeded: random.bits()) })
  }

  @Test(arguments: ["up", "down", "bfly", "idx"], [32, 16, 8, 4]) func shuffles(mode: String, width: Int) throws {
    let (random, values) = Self.values("shuffles \(mode) \(width)")
    let control = (32 - width) << 8 | (mode == "up" ? 0 : 31)
    for amount in [0, 1, 2, 5, width - 1, 31] {
      let result = try Self.run(
        "shfl.sync.\(mode).b32 %r1|%p1, %r0, \(amount), \(control), 0xFFFFFFFF;", values: values)
      for lane in 0..<32 {
        let first = lane / width * width
        let source: Int
        switch mode {
        case "up": source = lane - amount
        case "down": source = lane + amount
        case "bfly": source = lane ^ amount
        default: source = first + amount % width
        }
        // A butterfly may reach into lower segments.
        let isValid = mode == "bfly" ? source < first + width : source >= first && source < first + width
        #expect(result[lane].0 == values[isValid ? source : lane], "lane \(lane), amount \(amount) \(random)")
        #expect(result[lane].1 == isValid, "lane \(lane), amount \(amount) \(random)")
      }
    }
  }

  @Test func votes() throws {
    let (random, values) = Self.values("votes")
    let odd = values.map { $0 & 1 == 1 }
    let setup = "and.b32 %r2, %r0, 1; setp.eq.u32 %p2, %r2, 1;"
    let ballot = try Self.run("\(setup) vote.sync.ballot.b32 %r1, %p2, 0xFFFFFFFF;", values: values)
    let expected = odd.enumerated().reduce(0) { $1.element ? $0 | 1 << UInt32($1.offset) : $0 } as UInt32
    #expect(ballot.allSatisfy { $0.0 == expected }, "\(random)")
    #expect(
      try Self.run("\(setup) vote.sync.any.pred %p1, %p2, -1;", values: values).allSatisfy {
        $0.1 == odd.contains(true)
      })
    #expect(
      try Self.run("\(setup) vote.sync.all.pred %p1, !%p2, -1;", values: values).allSatisfy {
        $0.1 == !odd.contains(true)
      })
    let same = try Self.run("setp.lt.u32 %p2, %t, 32; vote.sync.uni.pred %p1, %p2, -1;", values: values)
    #expect(same.allSatisfy { $0.1 })
  }

  @Test func matches() throws {
    let values = (0..<32).map { UInt32($0 * 7 % 5) }
    let any = try Self.run("match.any.sync.b32 %r1, %r0, -1;", values: values)
    for lane in 0..<32 {
      let expected = (0..<32).reduce(0 as UInt32) { values[$1] == values[lane] ? $0 | 1 << UInt32($1) : $0 }
      #expect(any[lane].0 == expected)
    }
    #expect(try Self.run("match.all.sync.b32 %r1|%p1, %r0, -1;", values: values).allSatisfy { $0.0 == 0 && !$0.1 })
    let same = [UInt32](repeating: 3, count: 32)
    #expect(try Self.run("match.all.sync.b32 %r1|%p1, %r0, -1;", values: same).allSatisfy { $0.0 == .max && $0.1 })
  }

  @Test func reductions() throws {
    let (random, values) = Self.values("reductions")
    for (form, fold) in [
      ("add.u32", { $0 &+ $1 }), ("min.u32", { min($0, $1) }), ("max.u32", { max($0, $1) }), ("and.b32", { $0 & $1 }),
      ("or.b32", { $0 | $1 }), ("xor.b32", { $0 ^ $1 }),
      ("max.s32", { UInt32(bitPattern: max(Int32(bitPattern: $0), Int32(bitPattern: $1))) }),
    ] as [(String, (UInt32, UInt32) -> UInt32)] {
      let all = try Self.run("redux.sync.\(form) %r1, %r0, -1;", values: values)
      #expect(all.allSatisfy { $0.0 == values.dropFirst().reduce(values[0], fold) }, "\(form) \(random)")
    }
    // Two halves at the same time, each with its own members.
    let halves = try Self.run(
      """
      setp.lt.u32 %p2, %t, 16; @%p2 bra LOW; redux.sync.add.u32 %r1, %r0, 0xFFFF0000; bra DONE;
      LOW: redux.sync.add.u32 %r1, %r0, 0xFFFF;
      DONE:
      """, values: values)
    for lane in 0..<32 {
      #expect(halves[lane].0 == values[lane / 16 * 16..<lane / 16 * 16 + 16].reduce(0, &+), "\(random)")
    }
  }

  @Test func leaders() throws {
    let values = [UInt32](repeating: 0, count: 32)
    let all = try Self.run("elect.sync %r1|%p1, -1;", values: values)
    #expect(all.map(\.1) == (0..<32).map { $0 == 0 } && all.allSatisfy { $0.0 == 0 })
    let some = try Self.run(
      "setp.ge.u32 %p2, %t, 9; @!%p2 bra DONE; elect.sync %r1|%p1, 0xFFFFFE00; DONE:", values: values)
    #expect(some.map(\.1) == (0..<32).map { $0 == 9 })
    let active = try Self.run("setp.ge.u32 %p2, %t, 9; @%p2 activemask.b32 %r1;", values: values)
    #expect(active.map(\.0) == (0..<32).map { $0 >= 9 ? 0xFFFF_FE00 : 0 })
  }

  /// A block whose last warp is not full.
  @Test func partWarp() throws {
    let values = (0..<32).map { UInt32($0) }
    let sum = try Self.run("redux.sync.add.u32 %r1, %r0, -1;", threads: 20, values: values)
    #expect(sum.allSatisfy { $0.0 == 190 })
  }

  @Test(
    arguments: [
      // Half of the lanes never come.
      (
        "setp.lt.u32 %p2, %t, 16; @%p2 shfl.sync.idx.b32 %r1, %r0, 0, 31, -1; bar.sync 0;", EmulatorError.Code.deadlock,
        "shfl.sync"
      ),
      ("shfl.sync.idx.b32 %r1, %r0, 0, 31, 0xFFFF;", .divergence, "of which it is none"),
      ("add.u32 %r2, %t, 1; shl.b32 %r2, 1, %t; vote.sync.ballot.b32 %r1, %p1, %r2;", .divergence, "different members"),
      // Lane 31's value comes from a lane that has gone.
      (
        "setp.eq.u32 %p2, %t, 0; @%p2 exit; shfl.sync.idx.b32 %r1, %r0, 0, 31, -1; add.u32 %r1, %r1, 1;",
        .uninitialised, "did not take part"
      ),
    ])
  func faults(body: String, code: EmulatorError.Code, message: String) throws {
    let error = #expect(throws: EmulatorError.self) {
      try Self.run(body, values: [UInt32](repeating: 1, count: 32))
    }
    #expect(error?.code == code)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }
}
