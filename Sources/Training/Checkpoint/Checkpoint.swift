// A checkpoint: a folder that holds a model which other programs load, and all that training needs to go on as if it had
// never stopped.
//
//     step-00000100/
//       config.json, model.safetensors, tokenizer.json, tokenizer_config.json   the model, as Hugging Face has it
//       optimizer.safetensors       the optimizer's memory, "<parameter>.<state>"
//       state.json                  step, statistics, fingerprints
//       manifest.json               size and checksum of each file, written last
//
// Invariant: a folder of that name appears whole (it is written under another name, synced and renamed), and a reader
// believes it only if every file has the size and checksum of the manifest.

internal import Core
package import Formats
import FoundationEssentials
package import Models
internal import Networks
package import Tensors

/// What a checkpoint holds beside tensors.
package struct CheckpointState: Codable, Sendable, Equatable {
  /// Steps done.
  package var step: Int
  package var tokens: Int
  package var seed: UInt64
  /// Fingerprints of the data and the tokenizer, so that a run does not go on with others.
  package var data: String
  package var watch: StabilityState
  /// The last loss on held-out text.
  package var evaluationLoss: Double?
}

/// The statistics of a `StabilityWatch`.
package struct StabilityState: Codable, Sendable, Equatable {
  package var lossMean = 0.0, lossVariance = 0.0, lossCount = 0
  package var normMean = 0.0, normVariance = 0.0, normCount = 0
  package var skipped = 0
}

/// A training run at one moment, in memory.
package struct Checkpoint {
  package var model: GPTConfiguration
  package var tokenizer: any Tokenizer
  package var state: CheckpointState
  /// By name, float32.
  package var masters: [String: TensorData]
  /// By parameter, then by the optimizer's name.
  package var optimizer: [String: [String: TensorData]]

  package init(
    model: GPTConfiguration, tokenizer: any Tokenizer, state: CheckpointState, masters: [String: TensorData],
    optimizer: [String: [String: TensorData]]
  ) {
    self.model = model
    self.tokenizer = tokenizer
    self.state = state
    self.masters = masters
    self.optimizer = optimizer
  }

  private static let manifest = "manifest.json"

  // MARK: Writing

  /// Writes the checkpoint as the folder `path`, which appears whole or not at all.
  ///
  /// - Throws: `TrainingError.cannotWrite` (a full disk, for one); nothing is left behind then.
  package func write(to path: String) throws {
    let files = FileManager.default
    let (parent, name) = CheckpointFolder.split(path)
    let partial = "\(parent)/.\(name).partial"
    do {
      try? files.removeItem(atPath: partial)
      try files.createDirectory(atPath: partial, withIntermediateDirectories: true)
      try GPTFolder.write(model, weights: masters, to: partial, tokenizer: tokenizer)
      try writeOptimizer(to: partial + "/optimizer.safetensors")
      let state = try JSONEncoder().encode(state)
      try state.withUnsafeBytes { try AtomicFile.write($0, to: partial + "/state.json") }
      try AtomicFile.write(try Checkpoint.describe(partial), to: "\(partial)/\(Checkpoint.manifest)")
      if files.fileExists(atPath: path) { try files.removeItem(atPath: path) }
      try files.moveItem(atPath: partial, toPath: path)
      try AtomicFile.syncFolder(of: path)
    } catch {
      try? files.removeItem(atPath: partial)
      throw TrainingError(
        .cannotWrite,
        "Cannot write the checkpoint \(path): \(TrainingError.reason(of: error)). Earlier checkpoints are intact; free some space or choose another "
          + "folder with --out, then go on with --resume.")
    }
  }

  private func writeOptimizer(to path: String) throws {
    var tensors: [(tensor: SafetensorsTensor, bytes: UnsafeRawBufferPointer)] = []
    for (parameter, states) in optimizer {
      for (name, data) in states {
        let tensor = SafetensorsTensor(name: "\(parameter).\(name)", type: .f32, shape: data.shape.dimensions)
        tensors.append((tensor, UnsafeRawBufferPointer(data.bytes)))
      }
    }
    try SafetensorsWriter.write(tensors, to: path)
  }

  /// The manifest of a folder's files.
  private static func describe(_ folder: String) throws -> String {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0 != manifest }.sorted()
    let entries = try names.map { name -> (String, JSONValue) in
      let file = try MappedFile(path: "\(folder)/\(name)")
      let checksum = file.withBytes { String(Checksum.of($0), radix: 16) }
      return (name, ["bytes": .number(JSONNumber(file.count)), "xxh64": .string(checksum)])
    }
    let result: JSONValue = ["version": 1, "files": .object(JSONObject(entries))]
    return result.json + "\n"
  }

  // MARK: Reading

  /// Checks every file of a checkpoint against its manifest.
  ///
  /// - Throws: `TrainingError.badCheckpoint` that names what is missing or torn.
  package static func verify(_ path: String) throws {
    func bad(_ what: String) -> TrainingError { TrainingError(.badCheckpoint, "The checkpoint \(path) \(what)") }
    guard let file = try? MappedFile(path: "\(path)/\(manifest)") else {
      throw bad("has no manifest: it was not finished.")
    }
    guard let json = try? file.withBytes({ try JSONValue(parsing: $0) }), let entries = json["files"]?.object else {
      throw bad("has a manifest that is not JSON.")
    }
    for (name, entry) in entries {
      guard let mapped = try? MappedFile(path: "\(path)/\(name)") else { throw bad("lacks \(name).") }
      guard mapped.count == entry["bytes"]?.integer else {
        throw bad("is torn: \(name) has \(mapped.count) bytes, not \(entry["bytes"]?.integer ?? 0).")
      }
      guard mapped.withBytes({ String(Checksum.of($0), radix: 16) }) == entry["xxh64"]?.string else {
        throw bad("is corrupted: the checksum of \(name) does not match.")
      }
    }
  }

  /// Reads a checkpoint that was verified.
  package init(path: String) throws {
    (model, masters) = try GPTFolder.read(path)
    tokenizer = try TokenizerFile.read(path: path + "/tokenizer.json")
    state = try JSONDecoder().decode(CheckpointState.self, from: Data(contentsOf: URL(filePath: path + "/state.json")))
    optimizer = [:]
    let file = try SafetensorsFile(path: path + "/optimizer.safetensors")
    for tensor in file.tensors {
      guard let dot = tensor.name.lastIndex(of: "."), tensor.type == .f32, let bytes = file.bytes(of: tensor.name)
      else {
        throw TrainingError(.badCheckpoint, "\(path)/optimizer.safetensors holds an unexpected tensor '\(tensor.name)'")
      }
      let data = TensorData(TensorType(.float32, Shape(tensor.shape)))
      data.bytes.copyMemory(from: bytes)
      optimizer[String(tensor.name[..<dot]), default: [:]][String(tensor.name[tensor.name.index(after: dot)...])] = data
    }
  }
}
