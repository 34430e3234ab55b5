import Emulator
import KernelLanguage
import Support
import Testing

/// `tcgen05.mma` on random data in all kinds, shapes and layouts.
@Suite(.ownThreads) struct TensorProductTests {
  struct Case {
    var kind: String
    var a: MatrixElement
    var b: MatrixElement
    /// Codes in the instruction descriptor.
    var aCode: UInt32
    var bCode: UInt32
    /// 0 f16, 1 f32, 2 s32.
    var dCode: UInt32
    var depth: Int
  }

  static let cases: [Case] = [
    Case(kind: "f16", a: .f16, b: .f16, aCode: 0, bCode: 0, dCode: 1, depth: 16),
    Case(kind: "f16", a: .f16, b: .f16, aCode: 0, bCode: 0, dCode: 0, depth: 16),
    Case(kind: "f16", a: .bf16, b: .bf16, aCode: 1, bCode: 1, dCode: 1, depth: 16),
    Case(kind: "tf32", a: .tf32, b: .tf32, aCode: 2, bCode: 2, dCode: 1, depth: 8),
    Case(kind: "i8", a: .u8, b: .s8, aCode: 0, bCode: 1, dCode: 2, depth: 32),
    Case(kind: "i8", a: .s8, b: .s8, aCode: 1, bCode: 1, dCode: 2, depth: 32),
    Case(kind: "f8f6f4", a: .e4m3, b: .e5m2, aCode: 0, bCode: 1, dCode: 1, depth: 32),
    Case(kind: "f8f6f4", a: .e5m2, b: .e4m3, aCode: 1, bCode: 0, dCode: 0, depth: 32),
    Case(kind: "f8f6f4", a: .e2m3, b: .e2m1, aCode: 3, bCode: 5, dCode: 1, depth: 32),
    Case(kind: "f8f6f4", a: .e2m1, b: .e3m2, aCode: 5, bCode: 4, dCode: 1, depth: 32),
    Case(kind: "f8f6f4", a: .e4m3, b: .e2m3, aCode: 0, bCode: 3, dCode: 1, depth: 32),
  ]

  /// Bytes of an element where it lies in shared memory for all kinds but mxf4: codes of 4 and 6 bits share 16 bytes by 16.
  static func bits(_ element: MatrixElement) -> Int {
    switch element {
    case .e2m1: 4
    case .e2m3, .e3m2: 6
    default: element.bits
    }
  }

  /// Puts a matrix into an image: elements of at least 8 bits by themselves, others by 16 at the beginning of 16 bytes.
  static func put(
    _ values: [[Int]], _ element: MatrixElement, _ layout: SharedImage, dense: Bool = false, into image: inout [UInt8]
  ) {
    for (line, row) in values.enumerated() {
      for (k, value) in row.enumerated() {
        let code = element.code(value)
        let width = bits(element)
        if dense {
          let place = layout.place(line: line, k: k / 2, byte: 0, size: 1)
          image[place] |= UInt8(code) << UInt8(k % 2 * 4)
        } else if width < 8 {
          let index = layout.isLineMajor ? line : k
          let first = layout.place(
            line: layout.isLineMajor ? line / 16 * 16 : line, k: layout.isLineMajor ? k : k / 16 * 16, byte: 0, size: 1)
          for bit in 0..<width where code >> UInt32(bit) & 1 == 1 {
            let place = index % 16 * width + bit
            image[first + place / 8] |= 1 << UInt8(place % 8)
          }
        } else {
          layout.put(code, line: line, k: k, size: element.bits / 8, into: &image)
        }
      }
    }
  }

  /// A random layout behind `first`, and where it ends.
  static func layout(_ random: inout RandomCase, _ element: MatrixElement, lines: Int, depth: Int, after first: Int)
    -> SharedImage
  {
    // tf32 is transposed in a layout of its own: see below.
    let size = max(1, element.bits / 8)
    return WGMMATests.image(
      &random, canBeLineMajor: bits(element) >= 8 && element != .tf32, lines: lines, depth: depth, size: size,
      after: first)
  }

  static func end(_ layout: SharedImage, _ element: MatrixElement, lines: Int, depth: Int) -> Int {
    (layout.end(lines: (lines + 15) / 16 * 16, depth: depth, size: max(1, element.bits / 8)) + 15) / 16 * 16
  }

  /// The instruction descriptor of a kind without scales.
  static func descriptor(d: UInt32, a: UInt32, b: UInt32, rows: Int, columns: Int) -> UInt32 {
    let types: UInt32 = d << 4 | a << 7 | b << 10
    return types | UInt32(columns / 8) << 17 | UInt32(rows / 16) << 24
  }

  /// Bits of a sum as D has it.
  static func word(_ value: Int, _ dCode: UInt32) -> UInt32 {
    switch dCode {
    case 0: MatrixElement.f16.code(value)
    case 1: Float(value).bitPattern
    default: UInt32(bitPattern: Int32(value))
    }
  }

  /// Where PTX and CuTe put element (m, n) of D: block, lane and column.
  static func place(_ m: Int, _ n: Int, rows: Int, columns: Int, group: Int, weightStationary: Bool) -> (Int, Int, Int)
  {
    switch (weightStationary, group, rows) {
    case (true, _, 32): (0, m + 32 * (n / (columns / 4)), n % (columns / 4))
    case (true, _, 64): (0, m + 64 * (n / (columns / 2)), n % (columns / 2))
    case (false, 1, 64): (0, m % 16 + 32 * (m / 16), n)
    case (false, 2, 128): (m / 64, m % 64 + 64 * (n / (columns / 2)), n % (columns / 2))
    default: (m / 128, m % 128, n)
    }
  }

  @Test(arguments: 0..<44) func productsOfAllKinds(_ index: Int) throws {
    var random = RandomCase("tcgen05.mma", index)
    let test = Self.cases[index % Self.cases.count]
    let weightStationary = index >= 33
    let group = weightStationary ? 1 : index >= 22 ? 2 : 1
    let rows =
      weightStationary
      ? random.choice([32, 64, 128]) : group == 2 ? random.choice([128, 256]) : random.choice([64, 128])
    let columns = weightStationary ? 64 : 32 * random.integer(1...3)
    let aLines = rows / group, bLines = columns / group
    let aLayout = Self.layout(&random, test.a, lines: aLines, depth: test.depth, after: 0)
    let bLayout = Self.layout(
      &random, test.b, lines: bLines, depth: test.depth,
      after: Self.end(aLayout, test.a, lines: aLines, depth: test.depth))
    let imageBytes = (Self.end(bLayout, test.b, lines: bLines, depth: test.depth) + 1023) / 1024 * 1024
    let a = (0..<rows).map { _ in (0..<test.depth).map { _ in random.integer(test.a.smallNumbers) } }
    let b = (0..<columns).map { _ in (0..<test.depth).map { _ in random.integer(test.b.smallNumbers) } }
    let c = (0..<rows).map { _ in (0..<columns).map { _ in random.integer(-20...20) } }
    let negates = test.kind != "i8" && random.bool()
    let accumulates = random.bool()
    var input: [UInt32] = []
    for block in 0..<group {
      var image = [UInt8](repeating: 0, count: imageBytes)
      Self.put(Array(a[(block * aLines)..<((block + 1) * aLines)]), test.a, aLayout, into: &image)
      Self.put(Array(b[(block * bLines)..<((block + 1) * bLines)]), test.b, bLayout, into: &image)
      input += SharedImage.words(image)
    }
    // D as it is in tensor memory: 96 columns at most, thread after thread.
    let threads = 128 * group
    var old = [UInt32](repeating: 0, count: 96 * threads)
    for m in 0..<rows {
      for n in 0..<columns {
        let place = Self.place(m, n, rows: rows, columns: columns, group: group, weightStationary: weightStationary)
        old[place.2 * threads + place.0 * 128 + place.1] = Self.word(c[m][n], test.dCode)
      }
    }
    var descriptor = Self.descriptor(d: test.dCode, a: test.aCode, b: test.bCode, rows: rows, columns: columns)
    if negates { descriptor |= 1 << 13 }
    if aLayout.isLineMajor { descriptor |= 1 << 15 }
    if bLayout.isLineMajor { descriptor |= 1 << 16 }
    let disabled =
      weightStationary
      ? "" : index % 3 == 0 ? ", {\((0..<4 * group).map { "%r\(230 + $0)" }.joined(separator: ", "))}" : ""
    let kernel = TensorKernel(
      group: group, imageWords: imageBytes / 4,
      prepare: MatrixKernel.load((0..<96).map { "%r\($0)" }, from: input.count, threads: threads)
        + TensorKernel.storeColumns(96, to: 0),
      issue: """
        \(WGMMATests.descriptor("%x0", aLayout.tcgen05)) \(WGMMATests.descriptor("%x1", bLayout.tcgen05))
        \((0..<8).map { "mov.b32 %r\(230 + $0), 0;" }.joined())
        mov.b32 %r248, \(Int32(bitPattern: descriptor)); setp.eq.u32 %p4, %thread, \(accumulates ? 0 : 1);
        tcgen05.mma\(weightStationary ? ".ws" : "").cta_group::\(group).kind::\(test.kind) [%r250], %x0, %x1, %r248\(disabled), %p4;
        """,
      finish: TensorKernel.loadColumns(96, from: 0) + MatrixKernel.store((0..<96).map { "%r\($0)" }, threads: threads))
    let (output, report) = try kernel.kernel.runWithReport(input + old, outputs: 96 * threads, seed: UInt64(index))
    #expect(report.tensorOperations.values.reduce(0, +) == Double(2 * rows * columns * test.depth))
    for m in 0..<rows {
      for n in 0..<columns {
        let sum = (0..<test.depth).reduce(0) { $0 + a[m][$1] * b[n][$1] }
        let wanted = Self.word((negates ? -sum : sum) + (accumulates ? c[m][n] : 0), test.dCode)
        let place = Self.place(m, n, rows: rows, columns: columns, group: group, weightStationary: weightStationary)
        let got = output[place.2 * threads + place.0 * 128 + place.1]
        // 0 and -0 are one number.
        guard got == wanted || test.dCode < 2 && got & 0x7FFF_FFFF == 0 && wanted == 0 else {
          Issue.record(
            "\(test) \(rows) x \(columns) group \(group) ws \(weightStationary) (\(m), \(n)): \(got), not \(wanted) \(random)"
          )
          return
        }
      }
    }
  }

  @Test func transposedTensorFloats() throws {
    // Atoms of 32 bytes: rows of 128 bytes are 32 lines at one k; pairs of chunks are exchanged by k mod 4.
    var random = RandomCase("tcgen05.mma tf32")
    let a = (0..<128).map { _ in (0..<8).map { _ in random.integer(-3...3) } }
    let b = (0..<64).map { _ in (0..<8).map { _ in random.integer(-3...3) } }
    func put(_ values: [[Int]], _ image: inout [UInt8], at start: Int) {
      for (line, row) in values.enumerated() {
        for (k, value) in row.enumerated() {
          let unit = line % 32 / 8 ^ k % 4
          let place = start + line / 32 * 1024 + k / 4 * 512 + k % 4 * 128 + unit * 32 + line % 8 * 4
          for byte in 0..<4 {
            image[place + byte] = UInt8(truncatingIfNeeded: Float(value).bitPattern >> UInt32(8 * byte))
          }
        }
      }
    }
    var image = [UInt8](repeating: 0, count: 6144)
    put(a, &image, at: 0)
    put(b, &image, at: 4096)
    let plain = SharedImage(swizzle: .none, isLineMajor: true, start: 0, leading: 1024, stride: 512)
    let bits = plain.tcgen05 | 1 << 61
    let descriptor = Self.descriptor(d: 1, a: 2, b: 2, rows: 128, columns: 64) | 3 << 15
    let kernel = TensorKernel(
      imageWords: 1536,
      issue: """
        \(WGMMATests.descriptor("%x0", bits)) \(WGMMATests.descriptor("%x1", bits + 256))
        mov.b32 %r248, \(descriptor); setp.ne.u32 %p4, %thread, 0;
        tcgen05.mma.cta_group::1.kind::tf32 [%r250], %x0, %x1, %r248, %p4;
        """,
      finish: TensorKernel.loadColumns(64, from: 0) + MatrixKernel.store((0..<64).map { "%r\($0)" }, threads: 128))
    let output = try kernel.kernel.run(SharedImage.words(image), outputs: 64 * 128)
    for m in 0..<128 {
      for n in 0..<64 {
        let wanted = (0..<8).reduce(0) { $0 + a[m][$1] * b[n][$1] }
        #expect(Float(bitPattern: output[n * 128 + m]) == Float(wanted))
      }
    }
  }

  @Test(arguments: [(1, 128), (1, 64), (2, 256), (2, 128)]) func leftOperandInTensorMemory(_ group: Int, _ rows: Int)
    throws
  {
    var random = RandomCase("tcgen05.mma tensor memory \(group) \(rows)")
    let columns = 32
    let a = (0..<rows).map { _ in (0..<16).map { _ in random.integer(-3...3) } }
    let b = (0..<columns).map { _ in (0..<16).map { _ in random.integer(-3...3) } }
    let layout = SharedImage(swizzle: .bytes32, isLineMajor: false, start: 0, leading: 16, stride: 256)
    let threads = 128 * group
    var input: [UInt32] = []
    for block in 0..<group {
      var image = [UInt8](repeating: 0, count: 1024)
      let lines = columns / group
      Self.put(Array(b[(block * lines)..<((block + 1) * lines)]), .bf16, layout, into: &image)
      input += SharedImage.words(image)
    }
    let first = input.count
    for word in 0..<8 {
      for thread in 0..<threads {
        let (block, lane) = (thread / 128, thread % 128)
        let row: Int? =
          switch (group, rows) {
          case (1, 64): lane % 32 < 16 ? lane / 32 * 16 + lane % 32 : nil
          case (2, 128): block * 64 + lane % 64
          default: block * 128 + lane
          }
        input.append(
          row.map { MatrixElement.bf16.code(a[$0][2 * word]) | MatrixElement.bf16.code(a[$0][2 * word + 1]) << 16 } ?? 0
        )
      }
    }
    let bits = Self.descriptor(d: 1, a: 1, b: 1, rows: rows, columns: columns)
    let kernel = TensorKernel(
      group: group, imageWords: 256,
      prepare: MatrixKernel.load((0..<8).map { "%r\($0)" }, from: first, threads: threads)
        + TensorKernel.storeColumns(8, to: 256),
      issue: """
        \(WGMMATests.descriptor("%x1", layout.tcgen05))
        add.u32 %r247, %r250, 256;
        mov.b32 %r248, \(bits); setp.ne.u32 %p4, %thread, 0;
        tcgen05.mma.cta_group::\(group).kind::f16.collector::a::discard [%r250], [%r247], %x1, %r248, %p4;
        """,
      finish: rows == 64
        ? "tcgen05.ld.sync.aligned.16x256b.x4.b32 {\((0..<16).map { "%r\($0)" }.joined(separator: ", "))}, [%r252];"
          + MatrixKernel.store((0..<16).map { "%r\($0)" }, threads: 128)
        : TensorKernel.loadColumns(columns / (rows == 128 ? group : 1), from: 0)
          + MatrixKernel.store((0..<columns / (rows == 128 ? group : 1)).map { "%r\($0)" }, threads: threads))
    let output = try kernel.kernel.run(input, outputs: 32 * threads)
    for m in 0..<rows {
      for n in 0..<columns {
        let wanted = Float((0..<16).reduce(0) { $0 + a[m][$1] * b[n][$1] })
        let got: UInt32
        if rows == 64 {
          // .16x256b is the accumulator's fragment.
          let (lane, register) = (m % 8 * 4 + n % 8 / 2, n / 8 * 4 + m % 16 / 8 * 2 + n % 2)
          got = output[register * 128 + m / 16 * 32 + lane]
        } else {
          let place = Self.place(m, n, rows: rows, columns: columns, group: group, weightStationary: false)
          got = output[place.2 * threads + place.0 * 128 + place.1]
        }
        #expect(Float(bitPattern: got) == wanted)
      }
    }
  }

  // MARK: Block scales

  @Test(
    arguments: [
      ("mxf8f6f4", "block32", 1), ("mxf4", "block32", 2), ("mxf4nvf4", "block16", 4), ("mxf4nvf4", "scale_vec::2X", 2),
    ],
    [1, 2])
  func blockScales(_ form: (String, String, Int), _ group: Int) throws {
    let (kind, vector, count) = form
    var random = RandomCase("tcgen05.mma \(kind) \(vector) \(group)")
    let isDense = kind != "mxf8f6f4"
    let (element, depth): (MatrixElement, Int) = isDense ? (.e2m1, 64) : (.e4m3, 32)
    let (rows, columns) = (128 * group, 64)
    let usesThirds = kind == "mxf4nvf4" && count == 4
    let a = (0..<rows).map { _ in (0..<depth).map { _ in random.integer(-3...3) } }
    let b = (0..<columns).map { _ in (0..<depth).map { _ in random.integer(-3...3) } }
    // Powers of two, or small whole numbers as e4m3.
    let scaleCodes: [(UInt32, Float)] =
      usesThirds ? [(0x38, 1), (0x40, 2), (0x44, 3)] : [(126, 0.5), (127, 1), (128, 2)]
    let aScales = (0..<rows).map { _ in (0..<count).map { _ in random.integer(0...2) } }
    let bScales = (0..<columns).map { _ in (0..<count).map { _ in random.integer(0...2) } }
    let layout = SharedImage(swizzle: .bytes64, isLineMajor: false, start: 0, leading: 16, stride: 512)
    var second = layout
    second.start = 8192
    let identifier = count == 4 ? 0 : random.choice(count == 1 ? [0, 1, 2, 3] : [0, 2])
    let imageBytes = 8192 + 4096 + 2048
    let threads = 128 * group
    var input: [UInt32] = []
    for block in 0..<group {
      var image = [UInt8](repeating: 0, count: imageBytes)
      Self.put(Array(a[(block * 128)..<(block * 128 + 128)]), element, layout, dense: isDense, into: &image)
      let lines = columns / group
      Self.put(Array(b[(block * lines)..<((block + 1) * lines)]), element, second, dense: isDense, into: &image)
      // Scales in the order of tcgen05.cp: lane by lane 16 bytes, four columns of 32 lines.
      for line in 0..<128 {
        for index in 0..<count {
          image[12_288 + line % 32 * 16 + line / 32 * 4 + identifier + index] = UInt8(
            scaleCodes[aScales[block * 128 + line][index]].0)
          if line < columns {
            image[13_312 + line % 32 * 16 + line / 32 * 4 + identifier + index] = UInt8(
              scaleCodes[bScales[line][index]].0)
          }
        }
      }
      input += SharedImage.words(image)
    }
    var bits = UInt32(columns >> 3) << 17 | UInt32(rows >> 7) << 27 | UInt32(identifier) << 29 | UInt32(identifier) << 4
    if isDense { bits |= 1 << 7 | 1 << 10 }
    if !usesThirds { bits |= 1 << 23 }
    let copy = SharedImage(swizzle: .none, isLineMajor: false, start: 0, leading: 0, stride: 128).tcgen05
    let kernel = TensorKernel(
      group: group, imageWords: imageBytes / 4,
      issue: """
        \(WGMMATests.descriptor("%x0", layout.tcgen05)) \(WGMMATests.descriptor("%x1", second.tcgen05))
        \(WGMMATests.descriptor("%x2", copy + 768)) \(WGMMATests.descriptor("%x3", copy + 832))
        add.u32 %r245, %r250, 128; add.u32 %r246, %r250, 132;
        tcgen05.cp.cta_group::\(group).32x128b.warpx4 [%r245], %x2;
        tcgen05.cp.cta_group::\(group).32x128b.warpx4 [%r246], %x3;
        mov.b32 %r248, \(Int32(bitPattern: bits)); setp.ne.u32 %p4, %thread, 0;
        tcgen05.mma.cta_group::\(group).kind::\(kind).block_scale.\(vector) [%r250], %x0, %x1, %r248, [%r245], [%r246], %p4;
        """,
      finish: TensorKernel.loadColumns(columns, from: 0)
        + MatrixKernel.store((0..<columns).map { "%r\($0)" }, threads: threads))
    let output = try kernel.kernel.run(input, outputs: columns * threads)
    for m in 0..<rows {
      for n in 0..<columns {
        var wanted: Float = 0
        for k in 0..<depth {
          let index = k / (depth / count)
          let scale = scaleCodes[aScales[m][index]].1 * scaleCodes[bScales[n][index]].1
          wanted += Float(a[m][k] * b[n][k]) * scale
        }
        let got = Float(bitPattern: output[n * threads + m])
        guard got == wanted else {
          Issue.record("\(kind) \(vector) (\(m), \(n)): \(got) instead of \(wanted) \(random)")
          return
        }
      }
    }
  }
}
