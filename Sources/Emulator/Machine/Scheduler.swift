// The scheduler of a launch: which warp runs next, when effects land, which clusters are resident.
//
// Invariant: every choice comes from the seed. A warp is in `runnable`, or parked in its cluster until something changes, or
// finished. When no warp can run, an effect lands; when none is left, the launch is over or dead-locked.

internal import Core
internal import KernelLanguage

extension Launch {
  /// Runs all blocks to their end.
  func run() throws(EmulatorError) -> LaunchReport {
    gpu.observer?.launchBegins(self)
    defer { gpu.observer?.launchEnds(self) }
    let capacity = max(1, residentBlocks() / configuration.cluster.count)
    // Some seeds let effects land soon, some only when nothing else can happen.
    let laziness = UInt64([2, 8, 64, 4096][Int(random.next() % 4)])
    var (progressBefore, ticksBefore) = (progress, ticks)
    while true {
      while clusters.count < capacity, let place = nextCluster() { admit(Cluster(self, index: place)) }
      let draw = random.next()
      if !effects.isEmpty, runnable.isEmpty || draw % laziness == 0 {
        try landOne()
      } else if !runnable.isEmpty {
        let index = Int((draw >> 16) % UInt64(runnable.count))
        try run(index, budget: 1 << Int((draw >> 8) % 9))
      } else if clusters.isEmpty {
        break
      } else {
        throw deadlock()
      }
      if progress != progressBefore {
        (progressBefore, ticksBefore) = (progress, ticks)
      } else if ticks - ticksBefore > gpu.options.patience {
        throw noProgress()
      }
    }
    return report()
  }

  /// The next cluster that has not begun, by its index among the clusters; nil if all have.
  func nextCluster() -> Extent? {
    let (grid, extent) = (configuration.grid, configuration.cluster)
    let clusterGrid = Extent(grid.x / extent.x, grid.y / extent.y, grid.z / extent.z)
    guard begun < clusterGrid.count else { return nil }
    let number = begun
    begun += 1
    return Extent(
      number % clusterGrid.x, number / clusterGrid.x % clusterGrid.y, number / (clusterGrid.x * clusterGrid.y))
  }

  private func admit(_ cluster: Cluster) {
    clusters.append(cluster)
    gpu.observer?.begins(cluster)
    for block in cluster.blocks { runnable += block.warps }
  }

  /// Runs a warp for some instructions.
  private func run(_ index: Int, budget: Int) throws(EmulatorError) {
    let warp = runnable[index]
    do {
      ticks += try warp.run(budget)
    } catch {
      throw placed(error, warp.place(lane: error.lane))
    }
    guard !warp.canRun else { return }
    // Others may have been woken meanwhile, but only at the end of the list.
    runnable.swapAt(index, runnable.count - 1)
    runnable.removeLast()
    let cluster = warp.block.cluster
    if !warp.isFinished {
      cluster.park(warp)
      // What changed while the warp ran may be what it waits for.
      if warp.canRun { cluster.change() }
      return
    }
    if warp.block.isFinished {
      do { try warp.block.matrixState?.requireDone() } catch { throw placed(error, warp.place(lane: error.lane)) }
    }
    if cluster.isFinished {
      gpu.observer?.ends(cluster)
      clusters.removeAll { $0 === cluster }
    }
  }

  private func landOne() throws(EmulatorError) {
    guard let effect = effects.take(&random) else { return }
    do { try effect.land() } catch { throw placed(error, effect.place) }
    effect.cluster.change()
  }

  private func placed(_ error: EmulatorError, _ place: EmulatorError.Place) -> EmulatorError {
    var error = error
    if error.place == nil {
      error.place = place
      error.place?.lane = error.lane
    }
    return error
  }

  /// Blocks that the chip runs at the same time.
  private func residentBlocks() -> Int {
    let threads = (configuration.block.count + 31) / 32 * 32
    var each = min(
      chip.blocksPerMultiprocessor, chip.threadsPerMultiprocessor / threads, chip.sharedBytes / sharedBytes)
    if let registers = kernel.registersPerThread(chip) {
      each = min(each, chip.registers / max(1, registers * threads))
    }
    // The emulator's own memory is a limit, too: register files of kernels with thousands of names are large.
    let bytes = sharedBytes + threads / 32 * (kernel.fileBytes + 32 * kernel.localBytes)
    let all = min(max(1, each) * chip.multiprocessors, max(chip.multiprocessors, (1 << 30) / bytes))
    return min(all, gpu.options.residentBlocks ?? all)
  }

  // MARK: Reports

  private func deadlock() -> EmulatorError {
    EmulatorError(
      deadlockCode(), at: EmulatorError.Place(kernel: kernel.name),
      "no warp can go on, and nothing is on its way that could change it:\n" + waits()
        + "\nLet as many threads arrive at each barrier as it counts, as many bytes as it expects, and all lanes of a warp "
        + "come to the same .aligned or .sync instruction.")
  }

  /// What the dead-lock comes from, where one of the things that are waited for tells.
  private func deadlockCode() -> EmulatorError.Code {
    for cluster in clusters {
      for warp in cluster.blocks.flatMap(\.warps) {
        for case .object(let object)? in warp.fragments.map(\.wait) {
          if let barrier = object as? BarrierObject, barrier.lacksBytes { return .transactionCount }
          if object is RegisterPool { return .registerBudget }
        }
      }
    }
    return .deadlock
  }

  private func noProgress() -> EmulatorError {
    EmulatorError(
      .noProgress, at: EmulatorError.Place(kernel: kernel.name),
      "\(gpu.options.patience) instructions in a row changed nothing that another warp could see:\n" + waits()
        + "\nA loop waits for what never comes, or is longer than the option `patience`.")
  }

  /// Where every warp that has not finished is, warps that wait for the same in one line.
  private func waits() -> String {
    var lines: [(text: String, warps: [String])] = []
    for cluster in clusters {
      for block in cluster.blocks {
        for warp in block.warps {
          for fragment in warp.fragments {
            let text = warp.description(of: fragment)
            let name =
              "block \(block.name) warp \(warp.index)"
              + (fragment.lanes == warp.lanes ? "" : " lanes 0x\(String(fragment.lanes, radix: 16))")
            if let known = lines.firstIndex(where: { $0.text == text }) {
              lines[known].warps.append(name)
            } else {
              lines.append((text, [name]))
            }
          }
        }
      }
    }
    return lines.prefix(24).map { line in
      let others = line.warps.count > 4 ? " and \(line.warps.count - 4) more" : ""
      return "  \(line.warps.prefix(4).joined(separator: ", "))\(others): \(line.text)"
    }.joined(separator: "\n") + (lines.count > 24 ? "\n  … and \(lines.count - 24) more" : "")
  }

  private func report() -> LaunchReport {
    let counts = counters.pointee
    var report = LaunchReport(kernel: kernel.name)
    report.blocks = configuration.grid.count
    report.threads = configuration.grid.count * configuration.block.count
    for (index, cost) in kernel.costs.enumerated() where executions[index] > 0 {
      report.instructions[cost.unit.rawValue, default: 0] += executions[index]
      report.warpInstructions += executions[index]
      if let rate = cost.tensorRate {
        report.tensorOperations[rate, default: 0] += cost.tensorOperations * Double(executions[index])
      }
    }
    report.tensorOperations.merge(tensorOperations, uniquingKeysWith: +)
    report.globalLoadSectors = counts.globalLoadSectors
    report.globalStoreSectors = counts.globalStoreSectors
    report.globalLoadBytes = counts.globalLoadBytes
    report.globalStoreBytes = counts.globalStoreBytes
    report.sharedPasses = counts.sharedPasses
    report.sharedConflicts = counts.sharedConflicts
    report.sharedBytes = counts.sharedBytes
    report.asynchronousBytes = counts.asynchronousBytes
    report.atomics = counts.atomics
    report.barrierWaits = counts.barrierWaits
    report.footprintBytes = footprint
    return report
  }
}

extension Warp {
  /// Where lanes are and what they wait for.
  func description(of fragment: Fragment) -> String {
    let here = "instruction \(fragment.pc) `\(kernel.instructions[Int(fragment.pc)])`"
    switch fragment.wait {
    case nil: return "runs at \(here)"
    case .convergence(let wanted):
      return "waits at \(here) for lanes 0x\(String(wanted & ~fragment.lanes, radix: 16)), which are elsewhere"
    case .namedBarrier(let id): return "waits at \(here) for \(block.description(ofBarrier: id))"
    case .object(let object): return "waits at \(here) for \(object.waitDescription)"
    }
  }
}

extension ThreadBlock {
  fileprivate func description(ofBarrier id: Int) -> String {
    let barrier = barriers[id]
    let arrived = barrier.arrived.reduce(0) { $0 + $1.nonzeroBitCount }
    let expected = barrier.expected ?? warps.reduce(0) { $0 + $1.live.nonzeroBitCount }
    let last = barrier.lastArrival.map { ", warp \($0) last" } ?? ""
    return
      "barrier \(id) of block \(name): phase \(barrier.phase), \(arrived) of \(expected) threads have arrived\(last)"
  }
}
