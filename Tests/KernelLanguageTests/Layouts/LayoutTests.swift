// Layouts against what the PTX manual says of swizzles and matrix descriptors, bit by bit.

internal import KernelLanguage
internal import Testing

@Suite struct LayoutTests {
  @Test(arguments: Swizzle.allCases) func swizzlesAreTheirOwnInverseWithinTheirPattern(swizzle: Swizzle) {
    for address in 0..<4096 {
      #expect(swizzle(swizzle(address)) == address)
      #expect(swizzle(address) / swizzle.pattern == address / swizzle.pattern)
      #expect(swizzle(address) % 16 == address % 16)
    }
  }

  @Test func swizzlesOfTheManual() {
    // Chunk c of row r of 128 bytes lies at chunk c ^ (r % 8); of 64 bytes at c ^ (r / 2 % 4); of 32 bytes at c ^ (r / 4 % 2).
    for row in 0..<16 {
      for chunk in 0..<8 {
        #expect(Swizzle.bytes128(row * 128 + chunk * 16) == row * 128 + (chunk ^ (row % 8)) * 16)
        if chunk < 4 { #expect(Swizzle.bytes64(row * 64 + chunk * 16) == row * 64 + (chunk ^ (row / 2 % 4)) * 16) }
        if chunk < 2 { #expect(Swizzle.bytes32(row * 32 + chunk * 16) == row * 32 + (chunk ^ (row / 4 % 2)) * 16) }
      }
    }
  }

  @Test(arguments: [
    TileLayout(rows: 128, columns: 64, .bfloat16), TileLayout(rows: 64, columns: 128, .bfloat16),
    TileLayout(rows: 64, columns: 32, .float16), TileLayout(rows: 16, columns: 16, .float32, swizzle: .bytes32),
    TileLayout(rows: 8, columns: 48, .uint8), TileLayout(rows: 24, columns: 24, .bfloat16),
  ])
  func everyElementHasAPlaceOfItsOwn(layout: TileLayout) {
    var places: Set<Int> = []
    for row in 0..<layout.rows {
      for column in 0..<layout.columns { places.insert(layout.offset(row: row, column: column)) }
    }
    #expect(places == Set(stride(from: 0, to: layout.bytes, by: layout.element.size)))
    #expect(layout.bytes == layout.panels * layout.panelBytes)
  }

  @Test func mapsOfLayoutsAreTakenByDrivers() {
    let layout = TileLayout(rows: 128, columns: 128, .bfloat16)
    let map = layout.map(0x1000, rows: 1000, columns: 512)
    #expect(map.problems == [])
    #expect(map.box == [64, 128])
    #expect(map.boxBytes * layout.panels == layout.bytes)
    #expect(map.dimensions == [512, 1000])
    #expect(map.strides == [1024])
    #expect(
      layout.map(0x1000, matrices: 3, matrixStride: 64000, rows: 10, columns: 512, stride: 640).strides == [
        1280, 128000,
      ])
  }

  @Test func whatDriversRefuseIsSaid() {
    var map = TileLayout(rows: 64, columns: 64, .bfloat16).map(0x1008, rows: 10, columns: 33)
    #expect(map.problems.count == 2)
    map.address = 0x1000
    map.strides = [64]
    map.box = [128, 64]
    #expect(map.problems == ["a row of the box has 256 bytes, more than the 128 of its swizzle: cut it into panels"])
    map.box = [0, 300]
    #expect(map.problems.count == 2)
    map.dimensions = []
    #expect(map.problems.contains { $0.contains("1 to 5 axes") })
  }

  @Test func descriptorsOfTheManual() {
    // K-major, 128-byte rows: swizzle 1, patterns 1,024 bytes apart, the leading offset not used.
    let tile = TileLayout(rows: 128, columns: 64, .bfloat16)
    #expect(tile.descriptorBits(.k, tensorMemory: false) == 0x4000_0040_0001_0000)
    #expect(tile.descriptorBits(.k, tensorMemory: true) == 0x4000_4040_0001_0000)
    #expect((0..<4).map { tile.descriptorStep($0, .k) } == [0, 2, 4, 6])
    #expect(tile.descriptorOffset(from: 64, .k) == 512)
    // Two panels of 64 elements: the fifth step begins the second.
    let wide = TileLayout(rows: 128, columns: 128, .bfloat16)
    #expect(wide.descriptorStep(4, .k) == 128 * 128 / 16)
    // The other axis contiguous: panels of 64 are 64 rows of 128 bytes apart, 16 rows make a step.
    let strided = TileLayout(rows: 64, columns: 256, .bfloat16)
    #expect(strided.descriptorBits(.mn, tensorMemory: false) == 0x4000_0040_0000_0000 | 512 << 16)
    #expect((0..<4).map { strided.descriptorStep($0, .mn) } == [0, 128, 256, 384])
    #expect(strided.descriptorOffset(from: 64, .mn) == 512)
    #expect(TileLayout(rows: 64, columns: 32, .bfloat16).descriptorBits(.k, tensorMemory: false) >> 62 == 2)
    #expect(TileLayout(rows: 64, columns: 16, .bfloat16).descriptorBits(.k, tensorMemory: false) >> 62 == 3)
  }
}
