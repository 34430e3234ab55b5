import Emulator
import KernelLanguage
import Support
import Testing

/// `wgmma` on random data in all layouts and types, and the faults that programs make with it.
@Suite(.ownThreads) struct WGMMATests {
  struct Case {
    var a: MatrixElement
    var b: MatrixElement
    var d: String
    var n: Int
    var aIsInRegisters: Bool
    var aImage: SharedImage
    var bImage: SharedImage
    var negatesA: Bool
    var negatesB: Bool
    var accumulates: Bool
    var depth: Int { 256 / a.bits }
    var size: Int { a.bits / 8 }
  }

  static func image(
    _ random: inout RandomCase, canBeLineMajor: Bool, lines: Int, depth: Int, size: Int, after first: Int
  )
    -> SharedImage
  {
    let swizzle = random.choice(Swizzle.allCases)
    let isLineMajor = canBeLineMajor && random.bool()
    var image = SharedImage(
      swizzle: swizzle, isLineMajor: isLineMajor, start: (first + 1023) / 1024 * 1024, leading: 16, stride: 0)
    let span = 16 << swizzle.rawValue
    let pattern = span * 8
    if swizzle == .none {
      // Core matrices of 128 bytes, in either order, perhaps with gaps.
      let gap = 128 * random.integer(1...2)
      let inner = isLineMajor ? (lines * size + 15) / 16 : 2
      if random.bool() {
        (image.leading, image.stride) = isLineMajor ? (gap * inner, gap) : (gap, gap * inner)
      } else {
        let outer = isLineMajor ? depth / 8 : lines / 8
        (image.leading, image.stride) = isLineMajor ? (gap, gap * outer) : (gap * outer, gap)
      }
    } else if isLineMajor {
      image.stride = pattern * random.integer(1...2)
      image.leading = image.stride * depth / 8
    } else {
      image.stride = pattern * random.integer(1...2)
      // A step along K within the row.
      image.skipped = 32 * random.integer(0...(span / 32 - 1))
    }
    return image
  }

  static func randomCase(_ random: inout RandomCase) -> Case {
    let (a, b, d) = random.choice(
      [
        (.f16, .f16, "f32"), (.f16, .f16, "f16"), (.bf16, .bf16, "f32"), (.tf32, .tf32, "f32"), (.e4m3, .e5m2, "f32"),
        (.e5m2, .e5m2, "f16"), (.e4m3, .e4m3, "f32"), (.s8, .u8, "s32"), (.u8, .s8, "s32"), (.s8, .s8, "s32"),
      ] as [(MatrixElement, MatrixElement, String)])
    let n = a.isInteger ? random.choice([8, 16, 24, 32, 48, 80]) : 8 * random.integer(1...12)
    let (depth, size) = (256 / a.bits, a.bits / 8)
    let isHalf = a.bits == 16
    let aImage = image(&random, canBeLineMajor: isHalf, lines: 64, depth: depth, size: size, after: 0)
    let bImage = image(
      &random, canBeLineMajor: isHalf, lines: n, depth: depth, size: size,
      after: aImage.end(lines: 64, depth: depth, size: size))
    return Case(
      a: a, b: b, d: d, n: n, aIsInRegisters: random.bool(), aImage: aImage, bImage: bImage,
      negatesA: !a.isInteger && random.bool(), negatesB: !a.isInteger && random.bool(), accumulates: random.bool())
  }

  /// The descriptor of an image behind %sb.
  static func descriptor(_ register: String, _ bits: UInt64) -> String {
    "cvt.u64.u32 \(register), %sb; shr.u64 \(register), \(register), 4; add.u64 \(register), \(register), \(Int64(bitPattern: bits));"
  }

  /// Row and column of accumulator i of a thread of the warpgroup.
  static func place(_ i: Int, thread: Int) -> (row: Int, column: Int) {
    let (warp, lane) = (thread / 32, thread % 32)
    return (16 * warp + lane / 4 + (i % 4 >= 2 ? 8 : 0), i / 4 * 8 + lane % 4 * 2 + i % 2)
  }

  @Test(arguments: 0..<40) func productsOfAllLayouts(_ index: Int) throws {
    var random = RandomCase("wgmma", index)
    let test = Self.randomCase(&random)
    let a = (0..<64).map { _ in (0..<test.depth).map { _ in random.integer(test.a.smallNumbers) } }
    let b = (0..<test.n).map { _ in (0..<test.depth).map { _ in random.integer(test.b.smallNumbers) } }
    let c = (0..<64).map { _ in (0..<test.n).map { _ in random.integer(-20...20) } }
    var image = [UInt8](repeating: 0xEE, count: test.bImage.end(lines: test.n, depth: test.depth, size: test.size))
    for line in 0..<64 {
      for k in 0..<test.depth {
        test.aImage.put(test.a.code(a[line][k]), line: line, k: k, size: test.size, into: &image)
      }
    }
    for line in 0..<test.n {
      for k in 0..<test.depth {
        test.bImage.put(test.b.code(b[line][k]), line: line, k: k, size: test.size, into: &image)
      }
    }
    let imageWords = SharedImage.words(image)
    let isHalf = test.d == "f16"
    let count = test.n / (isHalf ? 4 : 2)
    var input = imageWords
    for r in 0..<count {
      for thread in 0..<128 {
        func value(_ i: Int) -> Int {
          let place = Self.place(i, thread: thread)
          return c[place.row][place.column]
        }
        switch test.d {
        case "f16":
          input.append(MatrixElement.f16.code(value(2 * r)) | MatrixElement.f16.code(value(2 * r + 1)) << 16)
        case "f32": input.append(Float(value(r)).bitPattern)
        default: input.append(UInt32(bitPattern: Int32(value(r))))
        }
      }
    }
    // A in registers: k in blocks of 16 bytes, four lanes to a row.
    let perWord = 32 / test.a.bits
    for r in 0..<4 {
      for thread in 0..<128 {
        let (row, k) = (thread / 32 * 16 + thread % 32 / 4 + r % 2 * 8, r / 2 * 4 * perWord + thread % 4 * perWord)
        input.append(
          (0..<perWord).reduce(UInt32(0)) {
            $0 | test.a.code(a[row][k + $1]) << UInt32($1 * test.a.bits % 32)
          })
      }
    }
    let letter = test.d == "f32" ? "f" : "r"
    let type = test.d == "f32" ? "f32" : "b32"
    let names = (0..<count).map { "%\(letter)\($0)" }
    let aNames = (0..<4).map { "%r\(200 + $0)" }
    var options = "\(test.accumulates ? 1 : 0)"
    if !test.a.isInteger { options += ", \(test.negatesA ? -1 : 1), \(test.negatesB ? -1 : 1)" }
    if test.a.bits == 16 {
      if !test.aIsInRegisters { options += ", \(test.aImage.isLineMajor ? 1 : 0)" }
      options += ", \(test.bImage.isLineMajor ? 1 : 0)"
    }
    let kernel = MatrixKernel(
      warps: 4, sharedBytes: imageWords.count * 4,
      body: """
        \(MatrixKernel.fill(words: imageWords.count, warps: 4))
        \(MatrixKernel.load(names, type, from: imageWords.count, threads: 128))
        \(MatrixKernel.load(aNames, from: imageWords.count + count * 128, threads: 128))
        \(Self.descriptor("%x0", test.aImage.wgmma))
        \(Self.descriptor("%x1", test.bImage.wgmma))
        wgmma.fence.sync.aligned;
        wgmma.mma_async.sync.aligned.m64n\(test.n)k\(test.depth).\(test.d).\(test.a.rawValue).\(test.b.rawValue)
          {\(names.joined(separator: ", "))}, \(test.aIsInRegisters ? "{\(aNames.joined(separator: ", "))}" : "%x0"), %x1,
          \(options);
        wgmma.commit_group.sync.aligned;
        wgmma.wait_group.sync.aligned 0;
        \(MatrixKernel.store(names, type, threads: 128))
        """)
    let (output, report) = try kernel.runWithReport(input, outputs: count * 128, seed: UInt64(index))
    #expect(report.tensorOperations.values.reduce(0, +) == Double(2 * 64 * test.n * test.depth))
    let sign = test.negatesA == test.negatesB ? 1 : -1
    for i in 0..<count * (isHalf ? 2 : 1) {
      for thread in 0..<128 {
        let (row, column) = Self.place(i, thread: thread)
        let sum = (0..<test.depth).reduce(0) { $0 + a[row][$1] * b[column][$1] }
        let wanted = sign * sum + (test.accumulates ? c[row][column] : 0)
        let word = output[(isHalf ? i / 2 : i) * 128 + thread]
        let got: Double
        switch test.d {
        case "f16": got = Double(Float16(bitPattern: UInt16(truncatingIfNeeded: word >> UInt32(i % 2 * 16))))
        case "f32": got = Double(Float(bitPattern: word))
        default: got = Double(Int32(bitPattern: word))
        }
        guard got == Double(wanted) else {
          Issue.record("\(test), row \(row) column \(column): \(got) instead of \(wanted) \(random)")
          return
        }
      }
    }
  }

  @Test(arguments: [("bf16", MatrixElement.bf16, 16, 23), ("e4m3", .e4m3, 32, 13)])
  func sumsAreThoseOfTheChip(_ name: String, _ element: MatrixElement, _ depth: Int, _ bits: Int) throws {
    // Numbers of many magnitudes: each row of A times each column of B is one group.
    var random = RandomCase("wgmma sums \(name)")
    let size = element.bits / 8
    func code() -> UInt32 {
      while true {
        let code = UInt32(truncatingIfNeeded: random.bits()) & (1 << UInt32(element.bits) - 1)
        if let parts = TensorCoreSumTests.parts(code, element), abs(parts.exponent) < 12 { return code }
      }
    }
    let a = (0..<64).map { _ in (0..<depth).map { _ in code() } }
    let b = (0..<8).map { _ in (0..<depth).map { _ in code() } }
    let layout = SharedImage(swizzle: .bytes128, isLineMajor: false, start: 0, leading: 16, stride: 1024)
    var second = layout
    second.start = 8192
    var image = [UInt8](repeating: 0, count: 9216)
    for (line, row) in a.enumerated() {
      for k in 0..<depth { layout.put(row[k], line: line, k: k, size: size, into: &image) }
    }
    for (line, row) in b.enumerated() {
      for k in 0..<depth { second.put(row[k], line: line, k: k, size: size, into: &image) }
    }
    let kernel = MatrixKernel(
      warps: 4, sharedBytes: 9216,
      body: """
        \(MatrixKernel.fill(words: 2304, warps: 4))
        \(Self.descriptor("%x0", layout.wgmma)) \(Self.descriptor("%x1", second.wgmma))
        wgmma.fence.sync.aligned;
        wgmma.mma_async.sync.aligned.m64n8k\(depth).f32.\(name).\(name) {%f0, %f1, %f2, %f3}, %x0, %x1, 0, 1, 1\(size == 2 ? ", 0, 0" : "");
        wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
        \(MatrixKernel.store(["%f0", "%f1", "%f2", "%f3"], "f32", threads: 128))
        """)
    let output = try kernel.run(SharedImage.words(image), outputs: 512)
    let rule = TensorCoreSum(element, toHalf: false, on: .hopper)
    #expect(rule.result == .single(fractionBits: bits) && rule.group == depth)
    for i in 0..<4 {
      for thread in 0..<128 {
        let (row, column) = Self.place(i, thread: thread)
        let wanted = TensorCoreSumTests.slow(a[row], b[column], element, 0, rule)
        #expect(output[i * 128 + thread] == wanted.bitPattern)
      }
    }
  }

  @Test(arguments: UInt64(0)..<8) func groupsFollowEachOther(_ seed: UInt64) throws {
    // Eight products into one accumulator, in three groups; each adds 16 to every element.
    let tile = 64 * 128
    let ones = [UInt32](repeating: 0x3F80_3F80, count: 2 * tile / 4)
    let product = { (step: Int) in
      """
      add.u64 %x2, %x0, \(2 * (step % 4)); add.u64 %x3, %x1, \(2 * (step % 4));
      wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %x2, %x3, \(step == 0 ? 0 : 1), 1, 1, 0, 0;
      """
    }
    let kernel = MatrixKernel(
      warps: 4, sharedBytes: 2 * tile,
      body: """
        \(MatrixKernel.fill(words: 2 * tile / 4, warps: 4))
        \(Self.descriptor("%x0", 0x4000_0040_0001_0000)) \(Self.descriptor("%x1", 0x4000_0040_0001_0000 + UInt64(tile >> 4)))
        wgmma.fence.sync.aligned;
        \((0..<3).map(product).joined()) wgmma.commit_group.sync.aligned;
        \((3..<6).map(product).joined()) wgmma.commit_group.sync.aligned;
        wgmma.wait_group.sync.aligned 1;
        \((6..<8).map(product).joined()) wgmma.commit_group.sync.aligned;
        wgmma.wait_group.sync.aligned 0;
        \(MatrixKernel.store(["%f0", "%f1", "%f2", "%f3"], "f32", threads: 128))
        """)
    let output = try kernel.run(ones, outputs: 512, seed: seed)
    #expect(output.allSatisfy { Float(bitPattern: $0) == 128 })
  }

  @Test func isQuickEnough() throws {
    // 256 x 256 x 128 in bf16: four warpgroups of 64 rows.
    let (rows, depth) = (256, 128)
    let panel = rows * 128
    let words = 2 * 2 * panel / 4
    let names = (0..<128).map { "%f\($0)" }
    var products = ""
    for step in 0..<depth / 16 {
      let offset = (step / 4 * panel + step % 4 * 32) >> 4
      products += "add.u64 %x2, %x0, \(offset); add.u64 %x3, %x1, \(offset);\n"
      products += "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {\(names.joined(separator: ","))}, %x2, %x3, "
      products += "\(step == 0 ? 0 : 1), 1, 1, 0, 0;\n"
    }
    let kernel = MatrixKernel(
      warps: 16, sharedBytes: words * 4,
      body: """
        \(MatrixKernel.fill(words: words, warps: 16))
        \(Self.descriptor("%x0", 0x4000_0040_0001_0000)) \(Self.descriptor("%x1", 0x4000_0040_0001_0000 + UInt64(2 * panel >> 4)))
        shr.u32 %r0, %warp, 2; mul.wide.u32 %x4, %r0, \(64 * 128 >> 4); add.u64 %x0, %x0, %x4;
        wgmma.fence.sync.aligned; \(products) wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
        st.global.f32 [%yours], %f77;
        """)
    let started = ContinuousClock.now
    let output = try kernel.run([UInt32](repeating: 0x3F80_3F80, count: words), outputs: 512)
    #expect(output.allSatisfy { Float(bitPattern: $0) == 128 })
    #expect(ContinuousClock.now - started < .seconds(5))
  }

  // MARK: Faults

  /// A kernel of one product of 64 x 8 x 16 in tiles of 128 bytes a row, with instructions before, between and behind.
  static func faulty(
    before: String = "wgmma.fence.sync.aligned;", a: String = "%x0", b: String = "%x1", scale: String = "0",
    behind: String = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;", warps: Int = 4,
    descriptor: UInt64 = 0x4000_0040_0001_0000, trans: String = "0, 0", fills: Bool = true
  ) -> MatrixKernel {
    MatrixKernel(
      warps: warps, sharedBytes: 16_384,
      body: """
        \(fills ? MatrixKernel.fill(words: 4096, warps: warps) : "")
        \(Self.descriptor("%x0", descriptor)) \(Self.descriptor("%x1", descriptor + 512))
        \(before)
        wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, \(a), \(b), \(scale), 1, 1, \(trans);
        \(behind)
        """)
  }
  static let input = [UInt32](repeating: 0x3F80_3F80, count: 4096)
  static let zero = (0..<4).map { "mov.f32 %f\($0), 0f00000000;" }.joined()

  @Test func registersInFlight() {
    let commit = "wgmma.commit_group.sync.aligned;"
    Self.faulty(behind: "\(commit) st.global.f32 [%yours], %f0;").expectError(
      .inFlight, "%f0 is read", input: Self.input)
    Self.faulty(behind: "\(commit) mov.f32 %f2, 0f00000000;").expectError(
      .inFlight, "%f2 is written", input: Self.input)
    Self.faulty(behind: "\(commit) wgmma.wait_group.sync.aligned 1; st.global.f32 [%yours], %f0;")
      .expectError(.inFlight, "%f0", input: Self.input)
    // Not committed, so no wait is for it.
    Self.faulty(behind: "wgmma.wait_group.sync.aligned 0; st.global.f32 [%yours], %f0;")
      .expectError(.inFlight, "%f0", input: Self.input)
    let load = "mov.b32 %r0, 0; mov.b32 %r1, 0; mov.b32 %r2, 0; mov.b32 %r3, 0; wgmma.fence.sync.aligned;"
    Self.faulty(before: load, a: "{%r0, %r1, %r2, %r3}", behind: "\(commit) mov.b32 %r1, 5;", trans: "0")
      .expectError(.inFlight, "%r1 is written", "reads", input: Self.input)
    Self.faulty(
      behind: "wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {%f0, %f1, %f2, %f3}, %x0, %x1, 1, 1, 1;"
    ).expectError(.inFlight, "another shape", input: Self.input)
    // The block ends before the product is done.
    Self.faulty(behind: "").expectError(.inFlight, "exits", "has not waited", input: Self.input)
  }

  @Test func missingFences() {
    Self.faulty(before: "").expectError(.inFlight, "no wgmma.fence", input: Self.input)
    Self.faulty(before: "wgmma.fence.sync.aligned; \(Self.zero)", scale: "1")
      .expectError(.inFlight, "written after the last wgmma.fence", input: Self.input)
    Self.faulty(
      before: "wgmma.fence.sync.aligned; mov.b32 %r0, 0; mov.b32 %r1, 0; mov.b32 %r2, 0; mov.b32 %r3, 0;",
      a: "{%r0, %r1, %r2, %r3}", trans: "0"
    ).expectError(.inFlight, "%r0 was written", input: Self.input)
    Self.faulty(scale: "1").expectError(.uninitialised, "%f0", input: Self.input)
    // Data that the generic proxy wrote, without a proxy fence.
    var kernel = Self.faulty()
    kernel.body = kernel.body.replacing("fence.proxy.async.shared::cta;", with: "")
    kernel.expectError(.missingProxyFence, input: Self.input)
    // Data that nobody wrote.
    Self.faulty(fills: false).expectError(.uninitialised, input: Self.input)
  }

  @Test func sharedMemoryOverwrittenTooEarly() {
    let overwrite = "mov.b32 %r9, 0; mad.lo.u32 %to, %thread, 4, %sb; st.shared.b32 [%to], %r9;"
    Self.faulty(behind: "wgmma.commit_group.sync.aligned; \(overwrite)").expectAnyError(
      [.race, .inFlight], input: Self.input)
    // Behind the wait it may be, but only by the warps that have waited.
    Self.faulty(
      behind: """
        wgmma.commit_group.sync.aligned; setp.eq.u32 %p0, %warp, 4; wgmma.wait_group.sync.aligned 0; bar.sync 1; \(overwrite)
        """
    ).expectNothing(input: Self.input)
  }

  @Test func descriptorsThatContradictThemselves() {
    // A start in the middle of a pattern.
    Self.faulty(descriptor: 0x4000_0040_0001_0000 + 8).expectError(.descriptor, "swizzle pattern", input: Self.input)
    Self.faulty(descriptor: 0x4000_0040_0001_0000 + 7).expectError(.descriptor, "reach over its end", input: Self.input)
    Self.faulty(descriptor: 0x4000_0040_0001_4000).expectError(.descriptor, "outside of its fields", input: Self.input)
    Self.faulty(descriptor: 0x4002_0040_0001_0000).expectError(.descriptor, "swizzle pattern", input: Self.input)
    Self.faulty(descriptor: 0x0000_0400_0001_0000).expectError(.outOfBounds, input: Self.input)
    Self.faulty(before: "wgmma.fence.sync.aligned; cvt.u64.u32 %x5, %lane; add.u64 %x0, %x0, %x5;")
      .expectError(.descriptor, "lane 0", input: Self.input)
    Self.faulty(
      before: "wgmma.fence.sync.aligned; and.b32 %r9, %warp, 1; mul.wide.u32 %x5, %r9, 2; add.u64 %x0, %x0, %x5;"
    )
    .expectError(.descriptor, "another warp", input: Self.input)
    Self.faulty(
      before: "\(Self.zero) wgmma.fence.sync.aligned; setp.eq.u32 %p0, %warp, 2;", scale: "%p0"
    ).expectError(.descriptor, "scale-d 1", input: Self.input)
    Self.faulty(before: "wgmma.fence.sync.aligned; setp.lt.u32 %p0, %lane, 9;", scale: "%p0")
      .expectError(.descriptor, "scale-d", input: Self.input)
  }

  @Test func warpgroupsThatAreNotWhole() {
    Self.faulty(warps: 3).expectError(.divergence, "warpgroup", input: Self.input)
    // One warp goes elsewhere: the others wait for it for ever.
    Self.faulty(
      before: "setp.eq.u32 %p0, %warp, 1; @%p0 exit; wgmma.fence.sync.aligned;"
    ).expectError(.deadlock, "warps 1", input: Self.input)
    MatrixKernel(chip: .b200, warps: 4, body: "wgmma.fence.sync.aligned;").expectError(.unsupported, "sm_90a")
    MatrixKernel(
      warps: 4, body: "wgmma.mma_async.sync.aligned.m64n12k16.f32.bf16.bf16 {%f0,%f1,%f2,%f3}, %x0, %x1, 0, 1, 1, 0, 0;"
    ).expectError(.unsupported, "N of 8 to 256")
    MatrixKernel(
      warps: 4, body: "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%f0,%f1,%f2,%f3}, %x0, %x1, 0, 1, 1, 0, 1;"
    ).expectError(.unsupported, "operands that the form does not take")
  }
}
