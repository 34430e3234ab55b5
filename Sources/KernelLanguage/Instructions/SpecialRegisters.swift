// Where a thread is: in its warp, block, cluster and grid.
//
// PTX ISA 9.1, "Special registers".

extension KernelBuilder {
  /// A special register, by its name.
  public func special<T: RegisterType>(_ name: String, _ type: T.Type) -> Value<T> {
    result(type, "mov.\(T.type)", .register(name))
  }

  private func special(_ name: String) -> Value<U32> { special(name, U32.self) }

  /// The thread in its block.
  public var thread: Axes { Axes(builder: self, name: "%tid") }
  /// The block in the grid.
  public var block: Axes { Axes(builder: self, name: "%ctaid") }
  /// Threads of a block.
  public var blockExtent: Axes { Axes(builder: self, name: "%ntid") }
  /// Blocks of the grid.
  public var gridExtent: Axes { Axes(builder: self, name: "%nctaid") }

  /// The thread in the grid, along x.
  public var globalThread: Value<U32> {
    multiplyAdd(special("%ctaid.x"), special("%ntid.x"), special("%tid.x"))
  }

  /// Threads of the grid, along x.
  public var globalThreads: Value<U32> { special("%nctaid.x") * special("%ntid.x") }

  /// The thread in its warp: 0 to 31.
  public var lane: Value<U32> { special("%laneid") }
  /// The warp in its block, along x; the same in all lanes.
  public var warp: Value<U32> { special("%tid.x") >> 5 }
  /// The block in its cluster.
  public var clusterRank: Value<U32> { special("%cluster_ctarank") }
  public var clusterSize: Value<U32> { special("%cluster_nctarank") }
  /// The cluster in the grid, along x, and how many there are.
  public var cluster: Value<U32> { special("%clusterid.x") }
  public var clusters: Value<U32> { special("%nclusterid.x") }
  public var multiprocessor: Value<U32> { special("%smid") }
  /// Nanoseconds, the same everywhere on the GPU.
  public var globalTimer: Value<U64> { special("%globaltimer", U64.self) }
  /// Clocks of the multiprocessor.
  public var clock: Value<U64> { special("%clock64", U64.self) }
}

/// A special register with three axes; each is read when it is asked for.
public struct Axes {
  let builder: KernelBuilder
  let name: String

  public var x: Value<U32> { builder.special("\(name).x", U32.self) }
  public var y: Value<U32> { builder.special("\(name).y", U32.self) }
  public var z: Value<U32> { builder.special("\(name).z", U32.self) }
}
