import Emulator
import KernelLanguage
import Support
import Testing

/// Tensor memory: allocation, the shapes of loads, stores and copies, and the faults that programs make with it.
@Suite(.ownThreads) struct TensorMemoryTests {
  /// Where CuTe's layouts put register i of thread t: bits from the first, in rows of `bits` bits.
  static func place(_ shape: String, _ i: Int, _ t: Int) -> (lane: Int, column: Int) {
    switch shape {
    case "32x32b": return (t, i)
    case "16x64b":
      // Strides of threads (2, 2, 8): 512, 32, 64 bits in rows of 64.
      let bits = t % 2 * 512 + t / 2 % 2 * 32 + t / 4 * 64
      return (bits / 64, bits % 64 / 32 + 2 * i)
    case "16x128b":
      let bits = t % 4 * 32 + t / 4 * 128 + i % 2 * 1024
      return (bits / 128, bits % 128 / 32 + i / 2 * 4)
    case "16x256b":
      let bits = t % 4 * 64 + t / 4 * 256 + i % 2 * 32 + i / 2 % 2 * 2048
      return (bits / 256, bits % 256 / 32 + i / 4 * 8)
    default: return (t % 16, i + (t >= 16 ? 40 : 0))
    }
  }

  @Test(
    arguments: [("32x32b", 1), ("16x64b", 1), ("16x128b", 2), ("16x256b", 4), ("16x32bx2", 1)], [1, 2, 8, 16])
  func loadsAndStoresHaveTheirFragments(_ shape: (String, Int), _ count: Int) throws {
    let (name, each) = shape
    let registers = each * count
    guard registers <= 32 || name != "16x256b" else { return }
    let names = (0..<registers).map { "%r\($0)" }.joined(separator: ", ")
    let split = name == "16x32bx2"
    let half = name == "32x32b" ? 0 : 16 << 16
    // Columns numbered by 32x32b, then loaded in the shape; and stored in the shape, then read back by 32x32b.
    let width = 96
    let numbers = (0..<width).map { "shl.b32 %r\($0), %r253, 8; or.b32 %r\($0), %r\($0), \($0);" }.joined(
      separator: "\n")
    let load = TensorKernel(
      imageWords: 0, columns: 128,
      prepare: "mov.u32 %r253, %thread; \(numbers) \(TensorKernel.storeColumns(width, to: 0))", issue: "",
      finish: """
        add.u32 %r252, %r252, \(half);
        tcgen05.ld.sync.aligned.\(name).x\(count).b32 {\(names)}, [%r252]\(split ? ", 40" : "");
        \(MatrixKernel.store((0..<registers).map { "%r\($0)" }, threads: 128))
        """)
    let output = try load.kernel.run([], outputs: registers * 128)
    for i in 0..<registers {
      for thread in 0..<128 {
        let place = Self.place(name, i, thread % 32)
        #expect(output[i * 128 + thread] == UInt32((thread / 32 * 32 + half >> 16 + place.lane) << 8 | place.column))
      }
    }
    let zero = (0..<width).map { "mov.b32 %r\($0), 0;" }.joined()
    let fill = (0..<registers).map { "shl.b32 %r\($0), %r253, 8; or.b32 %r\($0), %r\($0), \($0);" }.joined(
      separator: "\n")
    let store = TensorKernel(
      imageWords: 0, columns: 128,
      prepare: """
        \(zero) \(TensorKernel.storeColumns(width, to: 0)) tcgen05.wait::st.sync.aligned;
        mov.u32 %r253, %thread; \(fill) add.u32 %r254, %r252, \(half);
        tcgen05.st.sync.aligned.\(name).x\(count).b32 [%r254], \(split ? "40, " : ""){\(names)};
        """, issue: "",
      finish: TensorKernel.loadColumns(width, from: 0) + MatrixKernel.store((0..<width).map { "%r\($0)" }, threads: 128)
    )
    let stored = try store.kernel.run([], outputs: width * 128)
    for i in 0..<registers {
      for thread in 0..<128 {
        let place = Self.place(name, i, thread % 32)
        let lane = thread / 32 * 32 + half >> 16 + place.lane
        #expect(stored[place.column * 128 + lane] == UInt32(thread << 8 | i))
      }
    }
  }

  @Test func packingTakesTwoColumns() throws {
    let kernel = TensorKernel(
      imageWords: 0, columns: 32,
      prepare: """
        shl.b32 %r0, %thread, 16; or.b32 %r0, %r0, 7; add.u32 %r1, %r0, 1;
        tcgen05.st.sync.aligned.32x32b.x2.unpack::16b.b32 [%r252], {%r0, %r1};
        """, issue: "",
      finish: """
        tcgen05.ld.sync.aligned.32x32b.x4.b32 {%r0, %r1, %r2, %r3}, [%r252];
        tcgen05.ld.sync.aligned.32x32b.x2.pack::16b.b32 {%r4, %r5}, [%r252];
        \(MatrixKernel.store((0..<6).map { "%r\($0)" }, threads: 128))
        """)
    let output = try kernel.kernel.run([], outputs: 6 * 128)
    for thread in 0..<128 {
      let words = (0..<6).map { output[$0 * 128 + thread] }
      #expect(words == [7, UInt32(thread), 8, UInt32(thread), UInt32(thread << 16 | 7), UInt32(thread << 16 | 8)])
    }
  }

  @Test(arguments: ["128x256b", "128x128b", "64x128b.warpx2::02_13", "64x128b.warpx2::01_23", "32x128b.warpx4"])
  func copies(_ shape: String) throws {
    let rows = Int(shape.prefix(while: \.isNumber))!
    let chunks = shape.hasPrefix("128x256b") ? 2 : 1
    let bits = SharedImage(swizzle: .none, isLineMajor: false, start: 0, leading: 2048, stride: 128).tcgen05
    // Word w of row r: core matrices of 8 rows of 16 bytes, one behind the other; the second 16 bytes 2048 further.
    let image = (0..<1024).map { UInt32($0) }
    let kernel = TensorKernel(
      imageWords: 1024, columns: 32,
      issue: """
        \(WGMMATests.descriptor("%x0", bits))
        tcgen05.cp.cta_group::1.\(shape) [%r250], %x0;
        """,
      finish: TensorKernel.loadColumns(8, from: 0)
        + MatrixKernel.store((0..<4 * chunks).map { "%r\($0)" }, threads: 128))
    var prepared = kernel
    prepared.prepare = (0..<8).map { "mov.b32 %r\($0), 0;" }.joined() + TensorKernel.storeColumns(8, to: 0)
    let output = try prepared.kernel.run(image, outputs: 4 * chunks * 128)
    for lane in 0..<128 {
      let quarter = lane / 32
      let row: Int
      switch shape {
      case "64x128b.warpx2::02_13": row = quarter % 2 * 32 + lane % 32
      case "64x128b.warpx2::01_23": row = quarter / 2 * 32 + lane % 32
      case "32x128b.warpx4": row = lane % 32
      default: row = lane
      }
      #expect(row < rows)
      for word in 0..<4 * chunks { #expect(output[word * 128 + lane] == UInt32(word / 4 * 512 + row * 4 + word % 4)) }
    }
  }

  @Test func allocationWaitsUntilColumnsAreFree() throws {
    // More blocks than a multiprocessor has columns for: each takes half of them.
    let gpu = EmulatedGPU(.b200)
    let out = try gpu.allocate(4096, name: "output")
    let text = """
      .version 8.8
      .target sm_100a
      .address_size 64
      .visible .entry test(.param .u64 output)
      {
      .reg .b64 %out; .reg .b32 %r<8>;
      .shared .align 8 .b8 slot[8];
      ld.param.u64 %out, [output];
      mov.u32 %r0, slot;
      tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r0], 256;
      ld.shared.b32 %r1, [%r0];
      nanosleep.u32 20;
      tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r1, 256;
      mov.u32 %r2, %ctaid.x;
      mad.wide.u32 %out, %r2, 4, %out;
      st.global.b32 [%out], %r1;
      ret;
      }
      """
    let module = try gpu.load(try PTXModule(parsing: text))
    _ = try gpu.launch(module, "test", LaunchConfiguration(grid: Extent(600), block: Extent(32)), [.pointer(out)])
    var columns = [UInt32](repeating: 9, count: 600)
    try columns.withUnsafeMutableBytes { try gpu.read(out, into: $0) }
    #expect(Set(columns) == [0, 256])
  }

  // MARK: Faults

  /// A product of 128 x 8 x 16 of ones, and what comes before and behind it.
  static func faulty(
    prepare: String = "", before: String = "",
    product: String = "tcgen05.mma.cta_group::1.kind::f16 [%r250], %x0, %x1, %r248, %p4;",
    bits: UInt32 = TensorProductTests.descriptor(d: 1, a: 1, b: 1, rows: 128, columns: 8), behind: String = "",
    finish: String = "tcgen05.ld.sync.aligned.32x32b.x8.b32 {%r0,%r1,%r2,%r3,%r4,%r5,%r6,%r7}, [%r252];",
    columns: Int = 64,
    descriptor: UInt64 = 0x4000_4040_0001_0000
  ) -> TensorKernel {
    TensorKernel(
      imageWords: 4352, columns: columns, prepare: prepare,
      issue: """
        \(WGMMATests.descriptor("%x0", descriptor)) \(WGMMATests.descriptor("%x1", descriptor + 1024))
        mov.b32 %r248, \(Int32(bitPattern: bits)); setp.ne.u32 %p4, %thread, 0; \(before) \(product) \(behind)
        """, finish: finish)
  }
  static let input = [UInt32](repeating: 0x3F80_3F80, count: 4352)

  @Test func theProductItselfIsRight() {
    Self.faulty().kernel.expectNothing(input: Self.input)
    Self.faulty(
      behind: "setp.eq.u32 %p4, %thread, 0; tcgen05.mma.cta_group::1.kind::f16 [%r250], %x0, %x1, %r248, %p4, 1;"
    )
    .kernel.expectNothing(input: Self.input)
  }

  @Test func readingWhatIsStillWritten() {
    func text(_ kernel: TensorKernel, _ change: (inout String) -> Void) -> MatrixKernel {
      var kernel = kernel.kernel
      change(&kernel.body)
      return kernel
    }
    let kernel = Self.faulty()
    // Nobody waits for the mbarrier.
    text(kernel) {
      $0 = $0.replacing("@!%p7 bra WAIT0;", with: "")
      $0 = $0.replacing("mbarrier.try_wait.parity.shared::cta.b64 %p7, [%r249], 0;", with: "")
    }
    .expectError(.inFlight, "tcgen05.mma", "may still write", input: Self.input)
    // Waited for, but not fenced.
    text(kernel) { $0 = $0.replacing("@!%p7 bra WAIT0;\ntcgen05.fence::after_thread_sync;", with: "@!%p7 bra WAIT0;") }
      .expectError(.inFlight, "tcgen05.fence::after_thread_sync behind the wait", input: Self.input)
    // A product into columns that are still loaded, by another warp that has not waited.
    Self.faulty(
      finish: """
        tcgen05.ld.sync.aligned.32x32b.x8.b32 {%r0,%r1,%r2,%r3,%r4,%r5,%r6,%r7}, [%r252];
        bar.sync 0; @!%p5 bra NOT; tcgen05.fence::after_thread_sync;
        tcgen05.mma.cta_group::1.kind::f16 [%r250], %x0, %x1, %r248, %p4; NOT:
        """
    ).kernel.expectError(.inFlight, "tcgen05.ld", "may still read", input: Self.input)
    // A store that a product reads, without the wait.
    text(
      Self.faulty(
        prepare: (0..<8).map { "mov.b32 %r\($0), 0;" }.joined() + TensorKernel.storeColumns(8, to: 0))
    ) { $0 = $0.replacing("tcgen05.wait::st.sync.aligned;", with: "") }
    .expectError(.inFlight, "tcgen05.st", "tcgen05.wait::st", input: Self.input)
    // Products of two shapes in one accumulator do not follow each other by themselves.
    Self.faulty(
      behind:
        "mov.b32 %r247, \(TensorProductTests.descriptor(d: 1, a: 1, b: 1, rows: 128, columns: 16)); tcgen05.mma.cta_group::1.kind::f16 [%r250], %x0, %x1, %r247, %p4;"
    ).kernel.expectError(.inFlight, "tcgen05.mma", input: Self.input)
    // Shared memory that a product still reads.
    Self.faulty(behind: "mov.b32 %r9, 0; st.shared.b32 [%sb], %r9;").kernel.expectAnyError(
      [.race, .inFlight], input: Self.input)
    // An mbarrier that nothing arrives at.
    text(kernel) {
      $0 = $0.replacing("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%r249];", with: "")
    }
    .expectAnyError([.deadlock, .noProgress], input: Self.input)
  }

  @Test func wordsThatNobodyWrote() {
    Self.faulty(before: "setp.eq.u32 %p4, %thread, 0;").kernel.expectError(
      .uninitialised, "enable-input-d", input: Self.input)
    Self.faulty(finish: "tcgen05.ld.sync.aligned.32x32b.x8.b32 {%r0,%r1,%r2,%r3,%r4,%r5,%r6,%r7}, [%r252+8];")
      .kernel.expectError(.uninitialised, "column 8", input: Self.input)
  }

  @Test func wrongPlaces() {
    Self.faulty(finish: "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r0}, [%r250];")
      .kernel.expectError(.tensorMemory, "reaches lanes", input: Self.input)
    Self.faulty(finish: "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r0}, [%r252+1048576];")
      .kernel.expectError(.tensorMemory, "begins at lane", input: Self.input)
    Self.faulty(finish: "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r0}, [%r252+64];")
      .kernel.expectError(.tensorMemory, "not allocated", input: Self.input)
    Self.faulty(before: "add.u32 %r250, %r250, 60;").kernel.expectError(
      .tensorMemory, "not allocated", input: Self.input)
    Self.faulty(before: "add.u32 %r250, %r250, 1048576;").kernel.expectError(
      .tensorMemory, "lane 16", input: Self.input)
    Self.faulty(finish: "add.u32 %r9, %r252, %lane; tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r0}, [%r9];")
      .kernel.expectError(.tensorMemory, "all threads of the warp", input: Self.input)
  }

  @Test func allocationRules() {
    func one(_ body: String) -> MatrixKernel {
      MatrixKernel(chip: .b200, sharedBytes: 64, body: body)
    }
    let alloc = { (n: Int) in "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%sb], \(n);" }
    let dealloc = { (n: Int) in "ld.shared.b32 %r0, [%sb]; tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r0, \(n);" }
    one(alloc(48)).expectError(.tensorMemory, "32, 64, 128, 256 or 512")
    one(alloc(64)).expectError(.tensorMemory, "exits without having given back")
    one(alloc(64) + dealloc(32)).expectError(.tensorMemory, "has 64 from 0 on")
    one(alloc(32) + dealloc(32) + dealloc(32)).expectError(.tensorMemory, "it has none")
    one(alloc(32) + "tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" + alloc(32)).expectError(
      .tensorMemory, "relinquish")
    one(alloc(32) + alloc(64)).expectError(.tensorMemory, "do not grow")
    one(alloc(512) + alloc(512)).expectError(.deadlock, "columns of tensor memory")
    one(alloc(32) + "tcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 [%sb], 32;").expectError(
      .tensorMemory, "all have the same")
    one("tcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 [%sb], 32;").expectError(.tensorMemory, "no peer")
    one(alloc(64) + dealloc(64)).expectNothing(input: [])
    MatrixKernel(chip: .h200, body: alloc(32)).expectError(.unsupported, "sm_100a")
  }

  @Test func descriptorsThatContradictThemselves() {
    let base = TensorProductTests.descriptor(d: 1, a: 1, b: 1, rows: 128, columns: 8)
    let faults: [(xor: UInt32, words: String)] = [
      (1 << 2, "sparse"), (1 << 6, "must be 0"), (3 << 4, "type 2 for D"), (2 << 7, "type 3 for A"),
      (1 << 10, "both are of one type"), (13 << 24, "M = 80"), (1 << 17, "N = 0"),
    ]
    for fault in faults {
      Self.faulty(bits: base ^ fault.xor).kernel.expectError(.descriptor, fault.words, input: Self.input)
    }
    // A descriptor of wgmma.
    Self.faulty(descriptor: 0x4000_0040_0001_0000).kernel.expectError(.descriptor, "0b001", input: Self.input)
    Self.faulty(descriptor: 0x4000_4040_0001_0008).kernel.expectError(.descriptor, "swizzle pattern", input: Self.input)
    Self.faulty(descriptor: 0x6000_4040_0001_0000).kernel.expectError(.descriptor, "swizzle 3", input: Self.input)
  }
}
