// Every rotary scaling turns as `transformers` turns, read from config.json in the words of its versions 4 and 5
// (Scripts/make-family-fixtures.py).

import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

struct RotaryParityTests {
  @Test(arguments: RotaryFixture.all) func tablesAreTransformers(fixture: RotaryFixture) throws {
    let decoder = try withTemporaryFolder { folder in
      try Data(fixture.config.utf8).write(to: URL(filePath: folder + "/config.json"))
      return try #require(try PretrainedModel(path: folder).model as? Decoder)
    }
    let rotary = try #require(decoder.layers[0].rotary)
    let rotation = Rotation(
      positions: Tensor((0..<fixture.length).map { Int32($0) }), size: rotary.size, base: rotary.base,
      scaling: rotary.scaling)
    let tables = try ReferenceBackend().compile(
      Program(inputs: [], outputs: [rotation.cosines, rotation.sines])
    ).run([])
    for (table, expected) in zip(tables, [fixture.cosines, fixture.sines]) {
      #expect(table.shape[1] == expected[0].count)
      let values = table.doubles
      for (position, row) in zip(fixture.positions, expected) {
        for (pair, value) in row.enumerated() {
          let found = values[position * row.count + pair]
          // Angles of up to 100 radians are exact to some 1e-5 in float32.
          #expect(abs(found - value) < 3e-5, "position \(position), pair \(pair): \(found), not \(value)")
        }
      }
    }
  }
}

/// One recorded scaling.
struct RotaryFixture: Sendable, CustomStringConvertible {
  let description: String
  let config: String
  let length: Int
  let positions: [Int]
  let cosines: [[Double]]
  let sines: [[Double]]

  static let all: [RotaryFixture] = {
    let path = Fixture(name: "rotary.json").path
    guard let file = try? MappedFile(path: path), let json = try? JSONValue(parsing: file.bytes) else { return [] }
    func rows(_ value: JSONValue?) -> [[Double]] { value!.array!.map { $0.array!.map { $0.double! } } }
    return json.array!.map { entry in
      RotaryFixture(
        description: entry["name"]!.string!, config: entry["config"]!.json, length: entry["length"]!.integer!,
        positions: entry["positions"]!.array!.map { $0.integer! }, cosines: rows(entry["cosines"]),
        sines: rows(entry["sines"]))
    }
  }()
}
