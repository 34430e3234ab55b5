import Emulator
import Support
import Testing

/// `mma.sync` in all shapes and types, `movmatrix`, `ldmatrix` and `stmatrix`, each against what PTX says of its fragments.
@Suite(.ownThreads) struct MMATests {
  typealias Place = @Sendable (_ i: Int, _ g: Int, _ t: Int) -> (Int, Int)

  struct Form: Sendable {
    var name: String
    var a: MatrixElement
    var b: MatrixElement
    var d: String
    var k: Int
    var rows = 16
    var chip: Chip = .a100
    /// (row, k) of element i of A, (k, column) of B.
    var placeA: Place
    var placeB: Place
  }

  // The figures of PTX, one after the other.
  static let forms: [Form] = [
    Form(
      name: "m16n8k8.row.col.f32.f16.f16.f32", a: .f16, b: .f16, d: "f32", k: 8,
      placeA: { i, g, t in (i < 2 ? g : g + 8, t * 2 + (i & 1)) }, placeB: { i, g, t in (t * 2 + i, g) }),
    Form(
      name: "m16n8k16.row.col.f32.f16.f16.f32", a: .f16, b: .f16, d: "f32", k: 16, placeA: half16, placeB: halfB16),
    Form(
      name: "m16n8k16.row.col.f16.f16.f16.f16", a: .f16, b: .f16, d: "f16", k: 16, placeA: half16, placeB: halfB16),
    Form(
      name: "m16n8k16.row.col.f32.bf16.bf16.f32", a: .bf16, b: .bf16, d: "f32", k: 16, placeA: half16, placeB: halfB16),
    Form(
      name: "m16n8k4.row.col.f32.tf32.tf32.f32", a: .tf32, b: .tf32, d: "f32", k: 4,
      placeA: { i, g, t in (i == 0 ? g : g + 8, t) }, placeB: { _, g, t in (t, g) }),
    Form(
      name: "m16n8k8.row.col.f32.tf32.tf32.f32", a: .tf32, b: .tf32, d: "f32", k: 8,
      placeA: { i, g, t in (i == 0 || i == 2 ? g : g + 8, i < 2 ? t : t + 4) },
      placeB: { i, g, t in (i == 0 ? t : t + 4, g) }),
    Form(
      name: "m16n8k32.row.col.f32.e4m3.e5m2.f32", a: .e4m3, b: .e5m2, d: "f32", k: 32, chip: .h200, placeA: byte32,
      placeB: byteB32),
    Form(
      name: "m8n8k16.row.col.s32.s8.u8.s32", a: .s8, b: .u8, d: "s32", k: 16, rows: 8,
      placeA: { i, g, t in (g, t * 4 + i) }, placeB: { i, g, t in (t * 4 + i, g) }),
    Form(
      name: "m16n8k16.row.col.s32.u8.s8.s32", a: .u8, b: .s8, d: "s32", k: 16,
      placeA: { i, g, t in (i < 4 ? g : g + 8, t * 4 + (i & 3)) }, placeB: { i, g, t in (t * 4 + i, g) }),
    Form(
      name: "m16n8k32.row.col.satfinite.s32.s8.s8.s32", a: .s8, b: .s8, d: "s32", k: 32, placeA: byte32, placeB: byteB32
    ),
    Form(
      name: "m16n8k32.row.col.s32.s4.u4.s32", a: .s4, b: .u4, d: "s32", k: 32,
      placeA: { i, g, t in (i < 8 ? g : g + 8, t * 8 + (i & 7)) }, placeB: { i, g, t in (t * 8 + i, g) }),
    Form(
      name: "m16n8k64.row.col.s32.u4.s4.s32", a: .u4, b: .s4, d: "s32", k: 64,
      placeA: { i, g, t in (i < 8 || (16..<24).contains(i) ? g : g + 8, t * 8 + (i & 7) + (i < 16 ? 0 : 32)) },
      placeB: { i, g, t in (t * 8 + (i & 7) + (i < 8 ? 0 : 32), g) }),
  ]
  static let half16: Place = { i, g, t in
    (i < 2 || (4..<6).contains(i) ? g : g + 8, t * 2 + (i & 1) + (i < 4 ? 0 : 8))
  }
  static let halfB16: Place = { i, g, t in (t * 2 + (i & 1) + (i < 2 ? 0 : 8), g) }
  static let byte32: Place = { i, g, t in
    (i < 4 || (8..<12).contains(i) ? g : g + 8, t * 4 + (i & 3) + (i < 8 ? 0 : 16))
  }
  static let byteB32: Place = { i, g, t in (t * 4 + (i & 3) + (i < 4 ? 0 : 16), g) }

  /// Registers of a fragment, by register and lane.
  static func fragment(_ count: Int, _ element: MatrixElement, _ value: (_ i: Int, _ g: Int, _ t: Int) -> Int)
    -> [UInt32]
  {
    var words = [UInt32](repeating: 0, count: count * element.bits)
    let perWord = 32 / element.bits
    for lane in 0..<32 {
      for i in 0..<count {
        words[i / perWord * 32 + lane] |=
          element.code(value(i, lane / 4, lane % 4)) << UInt32(i % perWord * element.bits)
      }
    }
    return words
  }

  @Test(arguments: 0..<12) func productsAreThoseOfTheFigures(_ index: Int) throws {
    let form = Self.forms[index]
    var random = RandomCase("mma.sync", index)
    let a = (0..<form.rows).map { _ in (0..<form.k).map { _ in random.integer(form.a.smallNumbers) } }
    let b = (0..<form.k).map { _ in (0..<8).map { _ in random.integer(form.b.smallNumbers) } }
    let c = (0..<form.rows).map { _ in (0..<8).map { _ in random.integer(-20...20) } }
    let aWords = Self.fragment(form.rows * form.k / 32, form.a) { i, g, t in
      let (row, k) = form.placeA(i, g, t)
      return a[row][k]
    }
    let bWords = Self.fragment(8 * form.k / 32, form.b) { i, g, t in
      let (k, column) = form.placeB(i, g, t)
      return b[k][column]
    }
    let count = form.rows * 8 / 32
    func place(_ i: Int, _ lane: Int) -> (Int, Int) { (i < 2 ? lane / 4 : lane / 4 + 8, lane % 4 * 2 + (i & 1)) }
    var cWords: [UInt32] = []
    switch form.d {
    case "f16":
      for r in 0..<count / 2 {
        for lane in 0..<32 {
          let (low, high) = (place(2 * r, lane), place(2 * r + 1, lane))
          cWords.append(
            MatrixElement.f16.code(c[low.0][low.1]) | MatrixElement.f16.code(c[high.0][high.1]) << 16)
        }
      }
    default:
      for i in 0..<count {
        for lane in 0..<32 {
          let value = c[place(i, lane).0][place(i, lane).1]
          cWords.append(form.d == "f32" ? Float(value).bitPattern : UInt32(bitPattern: Int32(value)))
        }
      }
    }
    let letter = form.d == "f32" ? "f" : "r"
    let aNames = (0..<aWords.count / 32).map { "%r\($0)" }
    let bNames = (0..<bWords.count / 32).map { "%r\(32 + $0)" }
    let cNames = (0..<cWords.count / 32).map { "%\(letter)\(64 + $0)" }
    let type = form.d == "f32" ? "f32" : "b32"
    var kernel = MatrixKernel(chip: form.chip, body: "")
    kernel.body = """
      \(kernel.load(aNames)) \(kernel.load(bNames, from: aWords.count))
      \(kernel.load(cNames, type, from: aWords.count + bWords.count))
      mma.sync.aligned.\(form.name) {\(cNames.joined(separator: ", "))}, {\(aNames.joined(separator: ", "))},
        {\(bNames.joined(separator: ", "))}, {\(cNames.joined(separator: ", "))};
      \(MatrixKernel.store(cNames, type, threads: 32))
      """
    let (output, report) = try kernel.runWithReport(
      aWords + bWords + cWords, outputs: cWords.count, seed: UInt64(index))
    #expect(report.tensorOperations.values.reduce(0, +) == Double(2 * form.rows * 8 * form.k))
    for i in 0..<count {
      for lane in 0..<32 {
        let (row, column) = place(i, lane)
        let wanted = (0..<form.k).reduce(c[row][column]) { $0 + a[row][$1] * b[$1][column] }
        let got: Double
        switch form.d {
        case "f16":
          let word = output[i / 2 * 32 + lane] >> UInt32(i % 2 * 16)
          got = Double(Float16(bitPattern: UInt16(truncatingIfNeeded: word)))
        case "f32": got = Double(Float(bitPattern: output[i * 32 + lane]))
        default: got = Double(Int32(bitPattern: output[i * 32 + lane]))
        }
        guard got == Double(wanted) else {
          Issue.record("\(form.name) row \(row) column \(column): \(got) instead of \(wanted) \(random)")
          return
        }
      }
    }
  }

  @Test(arguments: [
    ("m8n8k4", 8, 4, Chip.a100), ("m16n8k4", 16, 4, .h200), ("m16n8k8", 16, 8, .h200), ("m16n8k16", 16, 16, .h200),
  ])
  func doubles(_ name: String, _ rows: Int, _ depth: Int, _ chip: Chip) throws {
    var random = RandomCase("mma.f64 \(name)")
    let a = (0..<rows).map { _ in (0..<depth).map { _ in random.uniform(-1...1) } }
    let b = (0..<depth).map { _ in (0..<8).map { _ in random.uniform(-1...1) } }
    func words(_ values: [Double]) -> [UInt32] {
      values.flatMap { [UInt32(truncatingIfNeeded: $0.bitPattern), UInt32(truncatingIfNeeded: $0.bitPattern >> 32)] }
    }
    // A of 16 rows: rows g and g + 8 by turns, then 4 further along K.
    let halves = rows / 8
    var input: [Double] = []
    for i in 0..<rows * depth / 32 {
      for lane in 0..<32 { input.append(a[lane / 4 + i % halves * 8][lane % 4 + i / halves * 4]) }
    }
    for i in 0..<depth / 4 { for lane in 0..<32 { input.append(b[lane % 4 + 4 * i][lane / 4]) } }
    let (aCount, bCount, dCount) = (rows * depth / 32, depth / 4, rows / 4)
    func names(_ first: Int, _ count: Int) -> [String] { (first..<first + count).map { "%d\($0)" } }
    var body = "mad.wide.u32 %mine, %thread, 8, %in; mad.wide.u32 %yours, %thread, 8, %out;\n"
    for (i, name) in (names(0, aCount) + names(aCount, bCount)).enumerated() {
      body += "ld.global.f64 \(name), [%mine+\(256 * i)];\n"
    }
    for name in names(20, dCount) { body += "mov.f64 \(name), 0d3FF0000000000000;\n" }
    let d = names(20, dCount).joined(separator: ", ")
    body += "mma.sync.aligned.\(name).row.col.f64.f64.f64.f64 {\(d)}, {\(names(0, aCount).joined(separator: ", "))}, "
    body += "{\(names(aCount, bCount).joined(separator: ", "))}, {\(d)};\n"
    for (i, name) in names(20, dCount).enumerated() { body += "st.global.f64 [%yours+\(256 * i)], \(name);\n" }
    let output = try MatrixKernel(chip: chip, body: body).run(words(input), outputs: dCount * 64)
    for i in 0..<dCount {
      for lane in 0..<32 {
        let (row, column) = (lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2)
        let wanted = (0..<depth).reduce(1.0) { $0 + a[row][$1] * b[$1][column] }
        let place = (i * 32 + lane) * 2
        let got = Double(bitPattern: UInt64(output[place]) | UInt64(output[place + 1]) << 32)
        #expect(abs(got - wanted) < 1e-12)
      }
    }
  }

  @Test(arguments: [(Chip.a100, 8), (Chip.h200, 16), (Chip.b200, 16)])
  func sumsAreThoseOfTheChip(_ chip: Chip, _ group: Int) throws {
    var random = RandomCase("mma.sync sums \(chip.name)")
    func code() -> UInt32 { Float(random.uniform(-1...1) * Double(1 << random.integer(0...20))).bitPattern >> 16 }
    let a = (0..<16).map { _ in (0..<16).map { _ in code() } }
    let b = (0..<8).map { _ in (0..<16).map { _ in code() } }
    var input: [UInt32] = []
    for r in 0..<4 {
      for lane in 0..<32 {
        let (row, k) = (lane / 4 + r % 2 * 8, lane % 4 * 2 + r / 2 * 8)
        input.append(a[row][k] | a[row][k + 1] << 16)
      }
    }
    for r in 0..<2 {
      for lane in 0..<32 {
        input.append(b[lane / 4][lane % 4 * 2 + 8 * r] | b[lane / 4][lane % 4 * 2 + 8 * r + 1] << 16)
      }
    }
    let c = (0..<128).map { _ in Float(random.uniform(-9...9)) }
    input += c.map(\.bitPattern)
    let names = (0..<4).map { "%f\($0)" }
    var kernel = MatrixKernel(chip: chip, body: "")
    kernel.body = """
      \(kernel.load((0..<6).map { "%r\($0)" })) \(kernel.load(names, "f32", from: 192))
      mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, {%f0,%f1,%f2,%f3};
      \(MatrixKernel.store(names, "f32", threads: 32))
      """
    let output = try kernel.run(input, outputs: 128)
    let rule = TensorCoreSum(.bf16, toHalf: false, on: chip.generation)
    #expect(rule.group == group)
    for i in 0..<4 {
      for lane in 0..<32 {
        let (row, column) = (lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2)
        var sum = c[i * 32 + lane]
        for first in stride(from: 0, to: 16, by: group) {
          let range = first..<first + group
          sum = TensorCoreSumTests.slow(Array(a[row][range]), Array(b[column][range]), .bf16, sum, rule)
        }
        #expect(output[i * 32 + lane] == sum.bitPattern)
      }
    }
  }

  // MARK: Fragments in shared memory

  /// Matrix i, row r, element c of 16 bits: a number that says where it is.
  static func image(_ matrices: Int) -> [UInt32] {
    (0..<matrices * 32).map { word in
      let (row, pair) = (word / 4, word % 4)
      return UInt32(row * 8 + pair * 2) | UInt32(row * 8 + pair * 2 + 1) << 16
    }
  }

  @Test(arguments: [1, 2, 4], [false, true]) func loadsMatrices(_ count: Int, _ isTransposed: Bool) throws {
    let names = (0..<count).map { "%r\($0)" }
    let kernel = MatrixKernel(
      sharedBytes: 512,
      body: """
        \(MatrixKernel.fill(words: 32 * count, warps: 1))
        and.b32 %r100, %lane, \(8 * count - 1);
        mad.lo.u32 %r101, %r100, 16, %sb;
        ldmatrix.sync.aligned.m8n8.x\(count)\(isTransposed ? ".trans" : "").shared.b16 {\(names.joined(separator: ", "))}, [%r101];
        \(MatrixKernel.store(names, threads: 32))
        """)
    let (output, report) = try kernel.runWithReport(Self.image(count), outputs: 32 * count)
    for i in 0..<count {
      for lane in 0..<32 {
        for half in 0..<2 {
          let (row, column) = isTransposed ? (lane % 4 * 2 + half, lane / 4) : (lane / 4, lane % 4 * 2 + half)
          #expect((output[i * 32 + lane] >> UInt32(16 * half)) & 0xFFFF == UInt32((8 * i + row) * 8 + column))
        }
      }
    }
    #expect(report.sharedConflicts == 0)
  }

  @Test(arguments: [1, 2, 4], [false, true]) func storesMatrices(_ count: Int, _ isTransposed: Bool) throws {
    // Stored with .trans and loaded plainly, matrices are transposed once.
    let names = (0..<count).map { "%r\($0)" }
    let list = names.joined(separator: ", ")
    let kernel = MatrixKernel(
      sharedBytes: 1024,
      body: """
        \(MatrixKernel.fill(words: 32 * count, warps: 1))
        and.b32 %r100, %lane, \(8 * count - 1);
        mad.lo.u32 %r101, %r100, 16, %sb;
        ldmatrix.sync.aligned.m8n8.x\(count).shared::cta.b16 {\(list)}, [%r101];
        stmatrix.sync.aligned.m8n8.x\(count)\(isTransposed ? ".trans" : "").shared::cta.b16 [%r101+512], {\(list)};
        bar.warp.sync 0xffffffff;
        ldmatrix.sync.aligned.m8n8.x\(count).shared::cta.b16 {\(list)}, [%r101+512];
        \(MatrixKernel.store(names, threads: 32))
        """)
    let output = try kernel.run(Self.image(count), outputs: 32 * count)
    for i in 0..<count {
      for lane in 0..<32 {
        for half in 0..<2 {
          let (row, column) = isTransposed ? (lane % 4 * 2 + half, lane / 4) : (lane / 4, lane % 4 * 2 + half)
          #expect((output[i * 32 + lane] >> UInt32(16 * half)) & 0xFFFF == UInt32((8 * i + row) * 8 + column))
        }
      }
    }
  }

  @Test func transposesBytesThereAndBack() throws {
    // 16 x 16 bytes: stmatrix of two matrices of 16 x 8 stores what ldmatrix of one of 16 x 16 loads, each transposed.
    let kernel = MatrixKernel(
      chip: .b200, sharedBytes: 1024,
      body: """
        \(MatrixKernel.fill(words: 64, warps: 1))
        and.b32 %r100, %lane, 15;
        mad.lo.u32 %r101, %r100, 16, %sb;
        ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {%r0, %r1}, [%r101];
        \(MatrixKernel.store(["%r0", "%r1"], threads: 32))
        """)
    let bytes = (0..<256).map { UInt8($0) }
    let words = SharedImage.words(bytes)
    let output = try kernel.run(words, outputs: 64)
    for r in 0..<2 {
      for lane in 0..<32 {
        for i in 0..<4 {
          let (row, column) = (lane % 4 * 4 + i, lane / 4 + 8 * r)
          #expect((output[r * 32 + lane] >> UInt32(8 * i)) & 0xFF == UInt32(row * 16 + column))
        }
      }
    }
    let store = MatrixKernel(
      chip: .b200, sharedBytes: 1024,
      body: """
        and.b32 %r100, %lane, 7;
        mad.lo.u32 %r101, %r100, 16, %sb;
        ld.global.b32 %r0, [%mine];
        stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [%r101], {%r0};
        bar.warp.sync 0xffffffff;
        mad.lo.u32 %r102, %lane, 4, %sb;
        ld.shared.b32 %r1, [%r102];
        st.global.b32 [%yours], %r1;
        """)
    // A matrix of 16 x 8 as accumulators have it: rows g and g + 8, columns 2t and 2t + 1.
    let fragment = (0..<32).map { lane -> UInt32 in
      let (g, t) = (lane / 4, lane % 4)
      return [(g, 2 * t), (g, 2 * t + 1), (g + 8, 2 * t), (g + 8, 2 * t + 1)].enumerated().reduce(0) {
        $0 | UInt32($1.element.0 * 8 + $1.element.1) << UInt32(8 * $1.offset)
      }
    }
    let stored = try store.run(fragment, outputs: 32)
    for row in 0..<8 {
      for column in 0..<16 {
        #expect((stored[row * 4 + column / 4] >> UInt32(column % 4 * 8)) & 0xFF == UInt32(column * 8 + row))
      }
    }
  }

  @Test func unpacksCodesOfFourAndSixBits() throws {
    var random = RandomCase("ldmatrix unpack")
    for (bits, format) in [(4, "b4x16_p64"), (6, "b6x16_p32")] {
      let codes = (0..<8).map { _ in (0..<16).map { _ in random.integer(0...((1 << bits) - 1)) } }
      var words = [UInt32](repeating: 0, count: 32)
      for row in 0..<8 {
        for i in 0..<16 {
          for bit in 0..<bits where codes[row][i] >> bit & 1 == 1 {
            let place = i * bits + bit
            words[row * 4 + place / 32] |= 1 << UInt32(place % 32)
          }
        }
      }
      let kernel = MatrixKernel(
        chip: .b200, sharedBytes: 512,
        body: """
          \(MatrixKernel.fill(words: 32, warps: 1))
          and.b32 %r100, %lane, 7;
          mad.lo.u32 %r101, %r100, 16, %sb;
          ldmatrix.sync.aligned.m8n16.x1.shared.b8x16.\(format) {%r0}, [%r101];
          st.global.b32 [%yours], %r0;
          """)
      let output = try kernel.run(words, outputs: 32)
      for lane in 0..<32 {
        for i in 0..<4 { #expect((output[lane] >> UInt32(8 * i)) & 0xFF == UInt32(codes[lane / 4][lane % 4 * 4 + i])) }
      }
    }
  }

  @Test func transposesAFragment() throws {
    let kernel = MatrixKernel(
      body: """
        ld.global.b32 %r0, [%mine];
        movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r0;
        st.global.b32 [%yours], %r1;
        """)
    let output = try kernel.run(Self.image(1), outputs: 32)
    for lane in 0..<32 {
      for half in 0..<2 {
        #expect((output[lane] >> UInt32(16 * half)) & 0xFFFF == UInt32((lane % 4 * 2 + half) * 8 + lane / 4))
      }
    }
  }

  @Test func countsBankConflicts() throws {
    // Rows 128 bytes apart are all in the same banks: eight passes for each matrix.
    let kernel = MatrixKernel(
      sharedBytes: 4096,
      body: """
        \(MatrixKernel.fill(words: 1024, warps: 1))
        mad.lo.u32 %r101, %lane, 128, %sb;
        ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r0, %r1, %r2, %r3}, [%r101];
        """)
    let (_, report) = try kernel.runWithReport([UInt32](repeating: 7, count: 1024), outputs: 0)
    #expect(report.sharedConflicts == 28)
  }

  // MARK: Faults

  @Test func faultsAreFound() {
    let product =
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, {%f0,%f1,%f2,%f3};"
    let zero = (0..<6).map { "mov.b32 %r\($0), 0;" }.joined() + (0..<4).map { "mov.f32 %f\($0), 0f00000000;" }.joined()
    MatrixKernel(body: product).expectError(.uninitialised, "%r0")
    MatrixKernel(
      body: "\(zero) setp.lt.u32 %p0, %lane, 16; @!%p0 bra OVER; \(product) OVER:"
    ).expectError(.divergence, "32 lanes")
    MatrixKernel(body: "\(zero) setp.eq.u32 %p0, %lane, 3; @%p0 exit; \(product)").expectError(.divergence, "exited")
    MatrixKernel(
      chip: .a100,
      body:
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, {%f0,%f1,%f2,%f3};"
    ).expectError(.unsupported, "sm_89")
    MatrixKernel(
      sharedBytes: 512,
      body: "mad.lo.u32 %r9, %lane, 8, %sb; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r0,%r1,%r2,%r3}, [%r9];"
    )
    .expectError(.misaligned, "row 1 of matrix 0")
    MatrixKernel(
      sharedBytes: 512,
      body: "mad.lo.u32 %r9, %lane, 16, %sb; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r0,%r1,%r2,%r3}, [%r9];"
    )
    .expectError(.uninitialised)
    MatrixKernel(
      sharedBytes: 256,
      body:
        "\(MatrixKernel.fill(words: 64, warps: 1)) mad.lo.u32 %r9, %lane, 16, %sb; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r0,%r1,%r2,%r3}, [%r9];"
    )
    .expectError(.outOfBounds, input: [UInt32](repeating: 0, count: 64))
    MatrixKernel(body: "ldmatrix.sync.aligned.m8n8.x1.b16 {%r0}, [%in];").expectError(
      .outOfBounds, "not in shared memory")
  }
}
