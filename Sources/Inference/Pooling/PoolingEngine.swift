// A model that makes one thing of each text: a vector, or how likely its labels are. One thread that takes what waits and
// computes it together.
//
// What waits goes by priority, then by how little its tenant was served, then in the order in which it came.
//
// Invariant: every request that was submitted gets one answer, unless it was cancelled before it was computed; what a text gets
// does not depend on which others are computed with it, up to the order of sums.

internal import Core
internal import Dispatch
package import Formats
package import Models
internal import Synchronization
package import Tensors

/// Computes vectors, labels and scores for many.
package final class PoolingEngine: Sendable {
  package typealias ID = UInt64

  /// What is made of each text.
  package enum Task: Sendable, Hashable {
    case vector
    /// How likely each label is.
    case labels
    /// How well the second text answers the first.
    case score
  }

  package enum Outcome: Sendable {
    /// One row for each text.
    case rows([[Float]])
    case refused(Refusal)
    case failed(String)
  }

  package typealias Receiver = @Sendable (Outcome) -> Void

  /// Who asks.
  package struct Asker: Sendable {
    /// Tenants get equal shares.
    package var tenant: String
    /// Higher ones go first.
    package var priority: Int

    package init(tenant: String = "", priority: Int = 0) { (self.tenant, self.priority) = (tenant, priority) }
  }

  private enum Model {
    case encoder(TextEncoder)
    case classifier(TextClassifier)
  }

  fileprivate struct Job {
    var id: ID
    var texts: [TokenizedText]
    var task: Task
    var priority: Int
    /// The tenant's number.
    var tenant: Int
    var receiver: Receiver
    var tokens: Int { texts.reduce(0) { $0 + $1.tokens.count } }
    /// Where it waits: numbers grow in the order of arrival.
    var place: TenantLines.Place { TenantLines.Place(id: id, priority: priority, tenant: tenant, arrival: id) }
  }

  fileprivate struct Inbox {
    var jobs: [ID: Job] = [:]
    /// The order in which they are computed.
    var lines = TenantLines()
    var texts = 0
    var shares = TenantShares()
    var nextID: ID = 1
    var isClosed = false
    var statistics = EngineStatistics()
  }

  private let inbox = Mutex(Inbox())
  private let bell = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let warmth = Atomic(false)
  package let texts: EncoderTexts
  /// What the model is for.
  package let tasks: Set<Task>
  /// The names of labels, of a classifier.
  package let labels: [String]
  /// What vectors are made of, in front of texts, unless somebody says otherwise.
  private let prompt: String

  /// About so many tokens are computed together.
  private static let batch = 16384
  /// The most texts that wait.
  private static let most = 16384

  /// Loads an encoder and starts the engine.
  package init(path: String, backend: any Backend) throws {
    let model: Model
    if case .classification = try PretrainedEncoder(path: path).task {
      let classifier = try TextClassifier(path: path, backend: backend)
      (texts, labels, prompt) = (classifier.texts, classifier.labels, "")
      tasks = labels.count == 1 ? [.labels, .score] : [.labels]
      model = .classifier(classifier)
    } else {
      let encoder = try TextEncoder(path: path, backend: backend)
      (texts, labels, prompt, tasks) = (encoder.texts, [], encoder.usualPrompt, [.vector])
      model = .encoder(encoder)
    }
    // Only the new thread touches the model from here on.
    nonisolated(unsafe) let own = model
    Threads.start { [self] in run(own) }
  }

  /// - Parameter receiver: called on the engine's thread, or at once.
  /// - Returns: by what to cancel it.
  @discardableResult
  package func submit(
    _ texts: [TokenizedText], as task: Task, for asker: Asker = Asker(), _ receiver: @escaping Receiver
  ) -> ID {
    precondition(tasks.contains(task) && !texts.isEmpty, "\(task) of \(texts.count) texts")
    let (id, refusal) = inbox.withLock { inbox -> (ID, Refusal?) in
      inbox.nextID += 1
      if inbox.isClosed { return (0, .stopping) }
      if inbox.texts > 0, inbox.texts + texts.count > Self.most {
        inbox.statistics.refused += 1
        return (0, .queueFull(inbox.texts))
      }
      inbox.texts += texts.count
      let tenant = inbox.shares.arrive(asker.tenant)
      let job = Job(
        id: inbox.nextID, texts: texts, task: task, priority: asker.priority, tenant: tenant, receiver: receiver)
      inbox.jobs[job.id] = job
      inbox.lines.insert(job.place)
      return (inbox.nextID, nil)
    }
    if let refusal { receiver(.refused(refusal)) } else { bell.signal() }
    return id
  }

  /// Forgets a request that is not being computed yet.
  package func cancel(_ id: ID) {
    inbox.withLock { _ = $0.remove(id) }
  }

  package var statistics: EngineStatistics {
    inbox.withLock { inbox in
      var statistics = inbox.statistics
      statistics.waiting = inbox.jobs.count
      return statistics
    }
  }

  /// Takes no more requests, and returns when those that it has have been answered.
  package func drain() {
    inbox.withLock { $0.isClosed = true }
    bell.signal()
    ended.wait()
    // For whoever waits, too.
    ended.signal()
  }

  /// Whether it has what the first request would wait for: weights in memory, and the tokenizer's tables.
  package var isReady: Bool { warmth.load(ordering: .acquiring) }

  private func run(_ model: Model) {
    let clock = MonotonicClock()
    _ = try? compute([tokenized(InferenceEngine.probe).0], tasks.contains(.vector) ? .vector : .labels, model)
    warmth.store(true, ordering: .releasing)
    while true {
      let (jobs, isClosed) = inbox.withLock { ($0.next(upTo: Self.batch), $0.isClosed) }
      guard let task = jobs.first?.task else {
        if isClosed { break }
        bell.wait()
        continue
      }
      let begin = clock.seconds
      let texts = jobs.flatMap(\.texts)
      let outcome: Result<[[Float]], any Error> = Result { try compute(texts, task, model) }
      let seconds = clock.seconds - begin
      inbox.withLock { inbox in
        inbox.statistics.running = 0
        inbox.statistics.steps += 1
        inbox.statistics.seconds += seconds
        inbox.statistics.read += texts.reduce(0) { $0 + $1.tokens.count }
        if case .success = outcome {
          inbox.statistics.ended(.stop, count: jobs.count)
        } else {
          inbox.statistics.failed += jobs.count
        }
      }
      var first = 0
      for job in jobs {
        switch outcome {
        case .success(let rows): job.receiver(.rows(Array(rows[first..<(first + job.texts.count)])))
        case .failure(let error): job.receiver(.failed("The model could not be run: \(error)"))
        }
        first += job.texts.count
      }
    }
    ended.signal()
  }

  private func compute(_ texts: [TokenizedText], _ task: Task, _ model: Model) throws -> [[Float]] {
    switch (model, task) {
    case (.encoder(let encoder), _): try encoder.embed(texts, prompt: prompt)
    case (.classifier(let classifier), .score): try classifier.scores(texts).map { [$0] }
    case (.classifier(let classifier), _): try classifier.probabilities(texts)
    }
  }

  /// The tokens of a text with what the model wants around them, and whether something was cut off.
  package func tokenized(_ text: String) -> (TokenizedText, isCut: Bool) { texts.counted(text, behind: prompt) }
}

extension PoolingEngine.Inbox {
  /// Takes the requests that are computed next: those of the first one's kind.
  fileprivate mutating func next(upTo limit: Int) -> [PoolingEngine.Job] {
    var tokens = 0
    var taken: [PoolingEngine.Job] = []
    while tokens < limit, let id = lines.first(shares)?.id, let job = jobs[id],
      taken.first.map({ $0.task == job.task }) ?? true
    {
      let count = job.tokens
      tokens += count
      shares.serve(job.tenant, read: count)
      _ = remove(id)
      taken.append(job)
    }
    statistics.running = taken.count
    return taken
  }

  /// Takes out a request that waits.
  fileprivate mutating func remove(_ id: PoolingEngine.ID) -> PoolingEngine.Job? {
    guard let job = jobs.removeValue(forKey: id) else { return nil }
    lines.remove(job.place)
    texts -= job.texts.count
    shares.leave(job.tenant)
    return job
  }
}
