// Special registers: what a thread reads to know who it is.
//
// Those that never change while a warp runs fill constant registers when it starts; clocks are read by `mov` itself.
//
// PTX ISA 9.1, "Special Registers".

internal import KernelLanguage

enum SpecialRegister {
  /// The type of a special register, nil if there is none of that name.
  static func type(of name: String) -> PTXType? {
    if isClock(name) { return name == "%clock64" || name == "%globaltimer" ? .u64 : .u32 }
    return kinds[name]
  }

  static func isClock(_ name: String) -> Bool {
    ["%clock", "%clock_hi", "%clock64", "%globaltimer", "%globaltimer_lo", "%globaltimer_hi"].contains(name)
  }

  private static let kinds: [String: PTXType] = {
    var kinds: [String: PTXType] = [:]
    for name in ["tid", "ntid", "ctaid", "nctaid", "clusterid", "nclusterid", "cluster_ctaid", "cluster_nctaid"] {
      for axis in ["x", "y", "z"] { kinds["%\(name).\(axis)"] = .u32 }
    }
    for name in [
      "laneid", "warpid", "nwarpid", "smid", "nsmid", "cluster_ctarank", "cluster_nctarank", "lanemask_eq",
      "lanemask_le", "lanemask_lt", "lanemask_ge", "lanemask_gt", "dynamic_smem_size", "total_smem_size",
      "aggr_smem_size",
    ] { kinds["%" + name] = .u32 }
    kinds["%gridid"] = .u64
    kinds["%is_explicit_cluster"] = .pred
    return kinds
  }()

  /// The value in a lane.
  static func value(_ name: String, _ warp: Warp, lane: Int) -> UInt64 {
    let block = warp.block
    let configuration = warp.launch.configuration
    let parts = name.dropFirst().split(separator: ".")
    func axis(_ extent: Extent) -> UInt64 {
      switch parts.last {
      case "x": UInt64(extent.x)
      case "y": UInt64(extent.y)
      default: UInt64(extent.z)
      }
    }
    let bit: UInt64 = 1 << UInt64(lane)
    switch parts[0] {
    case "tid":
      let threads = configuration.block
      let thread = warp.index * 32 + lane
      return axis(
        Extent(thread % threads.x, thread / threads.x % threads.y, thread / (threads.x * threads.y)))
    case "ntid": return axis(configuration.block)
    case "ctaid": return axis(block.index)
    case "nctaid": return axis(configuration.grid)
    case "clusterid": return axis(block.cluster.index)
    case "nclusterid":
      let (grid, cluster) = (configuration.grid, configuration.cluster)
      return axis(Extent(grid.x / cluster.x, grid.y / cluster.y, grid.z / cluster.z))
    case "cluster_ctaid":
      let cluster = configuration.cluster
      return axis(Extent(block.index.x % cluster.x, block.index.y % cluster.y, block.index.z % cluster.z))
    case "cluster_nctaid": return axis(configuration.cluster)
    case "cluster_ctarank": return UInt64(block.rank)
    case "cluster_nctarank": return UInt64(configuration.cluster.count)
    case "is_explicit_cluster": return configuration.cluster.count > 1 ? 1 : 0
    case "laneid": return UInt64(lane)
    case "warpid": return UInt64(warp.index)
    case "nwarpid": return UInt64((configuration.block.count + 31) / 32)
    case "smid": return UInt64(block.multiprocessor)
    case "nsmid": return UInt64(warp.launch.chip.multiprocessors)
    case "gridid": return UInt64(warp.launch.number)
    case "lanemask_eq": return bit
    case "lanemask_lt": return bit - 1
    case "lanemask_le": return bit << 1 - 1
    case "lanemask_ge": return UInt64(UInt32.max) & ~(bit - 1)
    case "lanemask_gt": return UInt64(UInt32.max) & ~(bit << 1 - 1)
    case "dynamic_smem_size": return UInt64(configuration.dynamicSharedBytes)
    case "total_smem_size", "aggr_smem_size": return UInt64(block.sharedBytes - Chip.reservedSharedBytes)
    default: preconditionFailure("\(name) is no special register")
    }
  }
}

extension Warp {
  /// Gives constant registers their values.
  func fillConstants() {
    for (register, constant) in kernel.constants {
      valid[Int(register.index)] = .max
      func value(_ lane: Int) -> UInt64 {
        switch constant {
        case .bits(let bits): bits
        case .predicate(let holds): holds ? 1 : 0
        case .special(let name): SpecialRegister.isClock(name) ? 0 : SpecialRegister.value(name, self, lane: lane)
        case .shared(let offset): UInt64(AddressMap.sharedAddress(rank: block.rank, offset: offset))
        case .dynamicShared(let alignment):
          UInt64(
            AddressMap.sharedAddress(
              rank: block.rank, offset: (kernel.staticSharedBytes + alignment - 1) / alignment * alignment))
        case .module(let name): kernel.moduleAddresses[name]!
        }
      }
      switch register.width {
      case .predicate: words(register).pointee = (0..<32).reduce(0) { $0 | UInt32(value($1)) << UInt32($1) }
      case .word: for lane in 0..<32 { words(register)[lane] = UInt32(truncatingIfNeeded: value(lane)) }
      case .long: for lane in 0..<32 { longs(register)[lane] = value(lane) }
      case .quad: for lane in 0..<32 { (longs(register)[2 * lane], longs(register)[2 * lane + 1]) = (value(lane), 0) }
      }
    }
  }
}
