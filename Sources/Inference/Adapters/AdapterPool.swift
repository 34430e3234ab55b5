// Adapters as inputs of a step's program: for each linear map that one of them changes, the matrices of all places.
//
//   y += (x downᵀ) up        with the matrices of the row's place
//
// Rows stand in the order of their places, those without an adapter last, and the products take the rows of a place together:
// what is read of adapters are those that have rows, as in Punica (Chen et al., 2023, arXiv:2310.18547) and S-LoRA (Sheng et
// al., 2023, arXiv:2311.03285). Ranks are filled up to the greatest with zeros.
//
// Invariant: places are written between steps only; a row's bits do not depend on the adapters of other rows.

internal import Models
internal import Networks
internal import Tensors

/// The places of adapters with their contents. Not for concurrent use.
final class AdapterPool {
  private struct Map: Sendable {
    /// [places, rank, inputs]
    var down: Tensor
    /// [places, rank, outputs]
    var up: Tensor
  }

  private let maps: [String: Map]
  /// int32 [places]: rows of each.
  private let counts: Tensor
  private let places: Int
  /// Greatest rank.
  let rank: Int
  let inputs: [Tensor]
  let values: [TensorData]
  /// Where in the values a map's matrices are.
  private let indices: [String: Int]

  /// - Parameter adapters: whose maps and ranks there is to be room for, all of one element type.
  init(_ adapters: [LowRankAdapter], places: Int) {
    self.places = places
    let rank = adapters.map(\.rank).max() ?? 0
    var maps: [String: Map] = [:]
    var indices: [String: Int] = [:]
    let counts = Tensor.input("adapters", TensorType(.int32, [places]))
    var inputs = [counts]
    for (name, map) in adapters.flatMap(\.maps).sorted(by: { $0.key < $1.key }) where maps[name] == nil {
      func input(_ kind: String, _ data: TensorData) -> Tensor {
        .input("\(name).\(kind)", TensorType(data.type.element, [places, rank, data.shape[1]]))
      }
      maps[name] = Map(down: input("down", map.down), up: input("up", map.up))
      indices[name] = inputs.count
      inputs += [maps[name]!.down, maps[name]!.up]
    }
    (self.rank, self.maps, self.indices, self.counts, self.inputs) = (rank, maps, indices, counts, inputs)
    values = inputs.map { TensorData($0.type) }
  }

  /// Whether an adapter can be written.
  func hasRoom(for adapter: LowRankAdapter) -> Bool {
    adapter.rank <= rank && adapter.maps.keys.allSatisfy { maps[$0] != nil }
  }

  /// The weights of a model, with what adapters add to the results of linear maps.
  func adapted(_ weights: Weights) -> Weights {
    weights.adding { [maps, counts] name, x in
      guard let map = maps[name] else { return nil }
      let rows = x.flattened(from: 0, through: -2)
      let result = rows.groupedMatmul(map.down, counts: counts).groupedMatmul(map.up, counts: counts, transposed: false)
      return result.reshaped(Array(x.shape.dimensions.dropLast()) + [map.up.shape[2]])
    }
  }

  /// Puts an adapter into a place.
  func write(_ adapter: LowRankAdapter, to place: Int) {
    for (name, index) in indices {
      let map = adapter.maps[name]
      for (target, source) in [(values[index], map?.down), (values[index + 1], map?.up)] {
        let bytes = target.type.bytes / places
        let part = UnsafeMutableRawBufferPointer(rebasing: target.bytes[(place * bytes)..<((place + 1) * bytes)])
        // Of a lesser rank, the other rows are zeros.
        let filled = source?.type.bytes ?? 0
        if let source { part.copyMemory(from: UnsafeRawBufferPointer(source.bytes)) }
        UnsafeMutableRawBufferPointer(rebasing: part[filled...]).initializeMemory(as: UInt8.self, repeating: 0)
      }
    }
  }

  /// Takes over how many rows of a step belong to each place.
  func count(_ step: EngineStep) {
    let counts = values[0].pointer.assumingMemoryBound(to: Int32.self)
    counts.update(repeating: 0, count: places)
    for part in step.parts {
      if let slot = part.slot { counts[slot] += Int32(part.rows) }
    }
  }
}
