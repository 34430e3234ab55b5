// Drafts token by token, from whatever reads texts and says what may follow: a smaller model, or a head on the model's own
// states.
//
// A reader has pools of its own that the step's block tables point into, so that its keys and values are wherever those of
// the model are, shared beginnings included. It draws with the random numbers that the model's sampler will draw with, by the
// same rules: where both hold the same of a token, both choose the same. Other ways on begin with the tokens that it holds to
// be likeliest beside the one that was drawn.

internal import Core
internal import Models
internal import Tensors

/// Reads texts for drafts.
protocol DraftReader: AnyObject {
  typealias ID = InferenceEngine.ID

  /// Does once, before the first text, what that would wait for.
  func warm() throws

  func begin(_ id: ID)

  /// Reads what is new of a step's texts.
  ///
  /// - Parameter receive: given the logits of the first draft of each part that has room for some and could be read, with the
  ///   part's number, and the row that says so, which `follow` wants to know.
  func read(_ step: EngineStep, receive: (_ part: Int, _ row: Int, UnsafeBufferPointer<Float>) throws -> Void) throws

  /// Reads one more draft of each path: its last.
  ///
  /// - Parameter receive: given the logits behind it, with the path's number, which is its row from now on.
  func follow(
    _ paths: [DraftPath], in step: EngineStep, receive: (_ path: Int, UnsafeBufferPointer<Float>) throws -> Void) throws

  /// Copies what it has of the first positions of a block to another.
  func copyPositions(_ count: Int, from: Int32, to: Int32)

  /// How many of a text's last positions it has not read when it gives the first draft.
  var lag: Int { get }

  /// The step was computed.
  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens], features: TensorData?) throws

  func end(_ id: ID)
}

/// A way on while it is drafted.
struct DraftPath {
  /// Of the step.
  let part: Int
  /// Of the part; nil: its own tokens.
  let branch: Int?
  var sampler: Sampler
  var tokens: [Int32]
  /// Of the reader's last run, what the last token was drawn from.
  var row: Int

  /// The step's part with nothing but the last token, read `lag` positions before its own.
  func last(in step: EngineStep, lag: Int) -> EngineStep.Part {
    var result = step.parts[part]
    if let branch { result.blocks = result.branches[branch].blocks }
    result.branches = []
    (result.start, result.tokens) = (result.start + tokens.count - lag, tokens.suffix(1))
    return result
  }
}

/// Drafts what a reader holds to be likely.
final class SequentialDrafter: Drafter {
  private let reader: any DraftReader
  private let blockSize: Int
  private let workspace = SamplingWorkspace()
  private let clock = MonotonicClock()
  private(set) var cost = 0.0

  init(_ reader: any DraftReader, blockSize: Int) { (self.reader, self.blockSize) = (reader, blockSize) }

  func warm() throws { try reader.warm() }

  func begin(_ id: ID, _ request: GenerationRequest) { reader.begin(id) }

  func prospect(of id: ID, most: Int, ways: Int) -> Prospect? {
    Prospect(counts: Array(repeating: most, count: ways), sort: 0)
  }

  func draft(_ step: inout EngineStep, _ prospects: [ID: Prospect], sampler: (ID) -> Sampler?) throws {
    var paths: [DraftPath] = []
    try reader.read(step) { part, row, logits in
      guard let sampler = sampler(step.parts[part].id) else { return }
      paths += begin(part, step.parts[part], row, sampler, logits)
    }
    for path in paths { if let branch = path.branch { prepare(step.parts[path.part], branch) } }
    var open = paths.indices.filter { goesOn(paths[$0], step) }
    while !open.isEmpty {
      let begin = clock.seconds
      try reader.follow(open.map { paths[$0] }, in: step) { row, logits in
        let index = open[row]
        // Where nothing can follow, nothing is drafted.
        guard let token = try? paths[index].sampler.next(logits, in: workspace).token else {
          paths[index].row = -1
          return
        }
        paths[index].tokens.append(token)
        paths[index].row = row
      }
      cost += 0.1 * ((clock.seconds - begin) / Double(open.count) - cost)
      open = open.filter { goesOn(paths[$0], step) }
    }
    for path in paths {
      if let branch = path.branch {
        step.parts[path.part].branches[branch].tokens = path.tokens
      } else {
        step.parts[path.part].append(drafted: path.tokens)
      }
    }
  }

  /// The ways on of a part, each with its first token.
  private func begin(
    _ index: Int, _ part: EngineStep.Part, _ row: Int, _ sampler: Sampler, _ logits: UnsafeBufferPointer<Float>
  ) -> [DraftPath] {
    var own = sampler
    guard let token = try? own.next(logits, in: workspace).token else { return [] }
    var paths = [DraftPath(part: index, branch: nil, sampler: own, tokens: [token], row: row)]
    if part.branches.isEmpty { return paths }
    let others = sampler.likeliest(1 + part.branches.count, of: logits, in: workspace).filter { $0 != token }
    for (branch, other) in zip(part.branches.indices, others) {
      var sampler = sampler
      sampler.accept(other)
      paths.append(DraftPath(part: index, branch: branch, sampler: sampler, tokens: [other], row: row))
    }
    return paths
  }

  private func goesOn(_ path: DraftPath, _ step: EngineStep) -> Bool {
    let part = step.parts[path.part]
    let room = path.branch.map { part.branches[$0].room } ?? part.room
    return path.row >= 0 && path.tokens.count < room && !path.sampler.mustEnd
      && !path.sampler.ends.contains(path.tokens.last!)
  }

  /// Copies to a branch what the reader has of the text in the block that the branch begins in.
  private func prepare(_ part: EngineStep.Part, _ branch: Int) {
    let (block, end) = (part.start / blockSize, part.start + 1 - reader.lag)
    guard end > block * blockSize else { return }
    reader.copyPositions(
      end - block * blockSize, from: part.blocks[block], to: part.branches[branch].blocks[block])
  }

  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens], features: TensorData?) throws {
    try reader.computed(step, chosen, features: features)
  }

  func end(_ id: ID) { reader.end(id) }
}
