// What the detector says: both instructions, who ran them, and what orders such a pair.

internal import KernelLanguage

extension RaceDetector {
  /// The error for two accesses that nothing orders.
  @inline(never)
  func fault(
    _ relation: WarpOrder.Relation, _ old: AccessRecord, _ new: AccessRecord, _ common: UInt16, _ shadow: Shadow,
    _ granule: Int, _ by: Accessor
  ) -> EmulatorError {
    let byte = common.trailingZeroBitCount
    let place = place(of: shadow, granule << granuleShift + byte, by.order.warp)
    let bytes = "\(common.nonzeroBitCount) byte\(common.nonzeroBitCount == 1 ? "" : "s") at \(place)"
    let deed = verb(new.flags)
    let lane = new.lanes.lane(of: byte)
    let before = "\(verb(old.flags)) by \(who(old, byte)), instruction \(old.pc) `\(text(of: old))`"
    switch relation {
    case .inFlight:
      return EmulatorError(
        .inFlight, lane: lane,
        "\(bytes) are \(deed), but are still being \(before): \(remedy(old, by))")
    case .notProxied:
      return EmulatorError(
        .missingProxyFence, lane: lane,
        "\(bytes) are \(deed) through the async proxy, and were \(before) through the generic proxy: put "
          + "fence.proxy.async\(place.hasPrefix("shared") ? ".shared::cta" : ".global") in between, in the threads "
          + "that "
          + "wrote, before they tell the others")
    default:
      return EmulatorError(
        .race, lane: lane, "\(bytes) are \(deed), and were \(before), in no order: \(remedy(old, by))")
    }
  }

  /// The error for a conflict with the grid before, which may still run.
  @inline(never)
  func overlap(
    _ old: AccessRecord, _ new: AccessRecord, _ shadow: Shadow, _ granule: Int, _ by: Accessor
  ) -> EmulatorError {
    let byte = (old.bytes & new.bytes).trailingZeroBitCount
    let place = place(of: shadow, granule << granuleShift + byte, by.order.warp)
    let text = kernelBefore.flatMap { kernel in
      old.pc < kernel.instructions.count
        ? ", instruction \(old.pc) `\(kernel.instructions[old.pc])` of kernel \(kernel.name)" : nil
    }
    return EmulatorError(
      .race, lane: new.lanes.lane(of: byte),
      "the byte at \(place) is \(verb(new.flags)), and was \(verb(old.flags)) by the grid before\(text ?? ""), which "
        + "may still "
        + "run: run griddepcontrol.wait first, or launch without overlap")
  }

  /// The error for bytes that nobody has written.
  @inline(never)
  func uninitialised(
    _ missing: UInt16, _ lanes: LanePattern, _ window: Shadow.Window, _ granule: Int, _ by: Accessor
  ) -> EmulatorError {
    let byte = missing.trailingZeroBitCount
    return EmulatorError(
      .uninitialised, lane: lanes.lane(of: byte),
      "the byte at \(place(of: window.shadow, granule << granuleShift + byte, by.order.warp)) is read, but nothing "
        + "was written to "
        + "it before: write it first, or read less")
  }

  private func verb(_ flags: AccessRecord.Flags) -> String {
    flags.contains(.write) ? flags.contains(.atomic) ? "changed" : "written" : "read"
  }

  /// Where a byte of a shadow is.
  private func place(of shadow: Shadow, _ offset: Int, _ warp: Warp) -> String {
    for block in warp.block.cluster.blocks where block.order?.shadow === shadow {
      return MemoryPlace.shared(block, offset).description(on: warp.launch.gpu)
    }
    return MemoryPlace.global(global.address(of: shadow, offset)).description(on: warp.launch.gpu)
  }

  private func text(of record: AccessRecord) -> String {
    guard let kernel, record.pc < kernel.instructions.count else { return "?" }
    return kernel.instructions[record.pc].description
  }

  private func who(_ record: AccessRecord, _ byte: Int) -> String {
    guard let order = cluster(record.cluster) else { return "cluster \(record.cluster)" }
    let lane = record.flags.contains(.inFlight) ? nil : record.lanes.lane(of: byte)
    return order.name(of: Int(record.actor), lane: lane)
  }

  /// What orders an access with such an earlier one.
  private func remedy(_ old: AccessRecord, _ by: Accessor) -> String {
    guard old.cluster == by.order.cluster.number else {
      return
        "blocks of different clusters need atomics, or a release and an acquire at .gpu scope (a flag, or another "
        + "launch)"
    }
    switch by.order.cluster.actors[Int(old.actor)] {
    case .gridBefore: return "run griddepcontrol.wait first"
    case .warp(let rank, let warp):
      if rank != by.order.warp.block.rank {
        return "put barrier.cluster.arrive.release and barrier.cluster.wait.acquire in between, or an mbarrier with "
          + "arrive.release.cluster and try_wait.acquire.cluster"
      }
      return warp == by.order.warp.index
        ? "put bar.warp.sync between the lanes of the warp" : "put bar.sync in between, or an mbarrier"
    case .lanes: return "put bar.warp.sync in between"
    case .barrier(let address):
      return
        "wait with mbarrier.try_wait for the phase of the mbarrier at shared 0x\(String(address, radix: 16)) that the "
        + "copy completes, in this thread or in one that then synchronises with it"
    case .copies:
      return "wait with cp.async.wait_group in the threads that copy, and then let the others know with bar.sync"
    case .bulk(_, _, let reads):
      return
        "wait with cp.async.bulk.wait_group\(reads ? ".read" : "") in the thread that copies, and then let the others "
        + "know with a barrier"
    case .matrix:
      return
        "wait with wgmma.wait_group, or for the mbarrier of tcgen05.commit, and then let the others know with a barrier"
    }
  }
}

extension ClusterOrder {
  /// An actor in words: `warp 2 lane 3 of block (0, 0, 0)`.
  func name(of actor: Int, lane: Int? = nil) -> String {
    switch actors[actor] {
    case .gridBefore: return "the grid before"
    case .warp(let rank, let warp):
      return "\(lane.map { "lane \($0) of " } ?? "")warp \(warp) of block \(blockNames[rank])"
    case .lanes(_, let warp), .copies(let warp), .matrix(let warp): return name(of: warp, lane: lane)
    case .barrier(let address): return "a copy that completes on the mbarrier at shared 0x\(String(address, radix: 16))"
    case .bulk(let lane, let warp, _): return "a bulk copy of \(name(of: warp, lane: lane))"
    }
  }
}

extension GlobalShadow {
  /// The address of a byte of a page.
  func address(of shadow: Shadow, _ offset: Int) -> UInt64 {
    let number = pages.first { $0.value === shadow }?.key ?? 0
    return number << GlobalShadow.pageShift + UInt64(offset)
  }
}
