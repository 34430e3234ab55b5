// Rows that belong to groups, cut into tiles on the device: the host never learns how many rows a group has.
//
// Invariant: row tiles lie inside of one group each, in the order of the rows; the rows beyond all groups are a last group without
// a matrix. A list has room for all that can be: rows / size, and one more for each group and for those.

internal import KernelLanguage

/// Makes the list of row tiles, and where the groups begin.
struct GroupedTiles: KernelSource {
  /// Rows of a tile.
  var size: Int

  static let threads = 256
  /// In place of a group's number: rows without one, and no tile at all.
  static let (rest, none): (Int, Int) = (0xFFFF_FFFF, 0xFFFF_FFFE)
  /// Bytes of a tile in the list: group, first row, end, 0.
  static let tileBytes = 16

  /// Tiles that there can be.
  static func capacity(rows: Int, groups: Int, size: Int) -> Int { rows / size + groups + 1 }

  /// Operands of a launch: counts (int32), the list, ends of the groups (uint32), groups, rows, capacity.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("groupedTiles", target: target, threads: Self.threads) { k in
      let (counts, tiles, ends) = (
        k.pointer("counts", to: S32.self), k.pointer("tiles", to: U32.self), k.pointer("ends", to: U32.self)
      )
      let (groups, rows, capacity) = (
        k.parameter("groups", U32.self), k.parameter("rows", U32.self), k.parameter("capacity", U32.self)
      )
      let used = k.shared(U32.self, count: 1)
      k.when(k.thread.x .< 32) {
        let lane = k.lane
        let (row, tile) = (k.variable(Value<U32>(0)), k.variable(Value<U32>(0)))
        // 32 groups at a time; the last round has the rows that are left as a group of their own.
        k.loop(from: Value<U32>(0), to: groups + 1, by: 32) { first in
          let group = first + lane
          let count = k.variable(Value<U32>(0))
          k.when(group .< groups) {
            count.assign(k.minimum(k.maximum(counts[group], 0).seen(as: U32.self), rows))
          }
          // What promises more rows than there are ends with the last row.
          let end = k.variable(k.minimum(row + k.inclusiveSum(count) { k.minimum($0, rows) }, rows))
          k.when(group .< groups) { ends[group] = end }
          k.when(group .== groups) { end.assign(rows) }
          let below = k.shuffle(end, .up, 1)
          let start = k.select(lane .== 0, row, below)
          let own = k.select(group .<= groups, (end - start + Value(size - 1)) / Value(size), Value(0))
          let endTile = tile + k.inclusiveSum(own) { $0 }
          let number = k.select(group .== groups, Value(Self.rest), group)
          k.loop(own) { index in
            let place = tiles + (endTile - own + index) * 4
            let begin = start + index * Value(size)
            place.store([number, begin, k.minimum(end, begin + Value(size)), Value(0)].map(k.inRegister))
          }
          row.assign(k.shuffle(end, .index, 31))
          tile.assign(k.shuffle(endTile, .index, 31))
        }
        k.when(lane .== 0) { used[0] = tile }
      }
      k.synchronise()
      k.loop(from: used[0] + k.thread.x, to: capacity, by: Value(Self.threads)) { index in
        (tiles + index * 4).store([Value(Self.none), Value(0), Value(0), Value(0)].map(k.inRegister))
      }
    }
  }
}

/// A tile of rows of one group, as a block reads it.
struct GroupedTile {
  let group: Value<U32>
  let row: Value<U32>
  /// Of the group's rows in it.
  let end: Value<U32>

  init(_ tiles: Pointer<U32, Global>, _ index: Value<U32>) {
    let words = (tiles + index * 4).load(4)
    (group, row, end) = (words[0], words[1], words[2])
  }

  var isNone: Value<Predicate> { group .== Value(GroupedTiles.none) }
  var hasGroup: Value<Predicate> { group .< Value(GroupedTiles.none) }
}

extension KernelBuilder {
  /// The sum over this lane and those below it, each step limited by `limit`.
  func inclusiveSum(_ value: Value<U32>, _ limit: (Value<U32>) -> Value<U32>) -> Value<U32> {
    var sum = value
    for distance in [1, 2, 4, 8, 16] {
      let other = shuffle(sum, .up, Value(distance))
      sum = select(lane .>= Value(distance), limit(sum + other), sum)
    }
    return sum
  }
}
