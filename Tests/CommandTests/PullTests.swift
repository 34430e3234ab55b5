// Models from a hub, as a user gets them: to the end, after a kill, after Ctrl-C.

import Core
import Formats
import FoundationEssentials
import Support
import Testing

@Suite struct PullTests {
  /// Two files on a hub, the larger one of six megabytes.
  struct Model {
    let entries: [HubEntry]
    var bytes: Int { entries.reduce(0) { $0 + $1.bytes.count } }

    init(_ place: Workplace) async throws {
      let large = (0..<6_000_000).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 11) }
      let small = Array(#"{"model_type":"none"}"#.utf8)
      let largePath = try place.write(large, to: "large"), smallPath = try place.write(small, to: "small")
      entries = [
        HubEntry(
          "model.safetensors", large, digest: try await FileDigest.hexadecimal(of: largePath, as: .sha256("")),
          isLarge: true),
        HubEntry(
          "config.json", small, digest: try await FileDigest.hexadecimal(of: smallPath, as: .gitBlob("")),
          isLarge: false),
      ]
    }

    /// The arguments that pull it into a folder of `place`.
    func pull(_ hub: TestHub, _ place: Workplace, _ more: [String] = []) -> [String] {
      ["pull", TestHub.model, "--host", hub.host, "--to", place.path + "/model"] + more
    }

    func isComplete(_ place: Workplace) -> Bool {
      entries.allSatisfy { entry in
        (try? Data(contentsOf: URL(filePath: "\(place.path)/model/\(entry.path)"))).map { Array($0) == entry.bytes }
          ?? false
      }
    }

    /// A hub that takes seconds to send the large file.
    var slowHub: TestHub {
      TestHub(entries) { part, _, response in
        if part == .delivery { response.pause = 15_000 }
      }
    }
  }

  /// Whether the journal of a large file tells of progress.
  private static func hasProgress(_ place: Workplace) -> Bool {
    let work = place.path + "/model/.pull"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: work)) ?? []
    return names.contains { name in
      guard name.hasSuffix(".journal"), let data = try? Data(contentsOf: URL(filePath: "\(work)/\(name)")) else {
        return false
      }
      return String(decoding: data, as: UTF8.self).split(separator: "\n").contains { line in
        let numbers = line.split(separator: " ").compactMap { Int($0) }
        return numbers.count == 2 && numbers[1] >= 1 << 20
      }
    }
  }

  @Test func pullsAndSaysWhere() async throws {
    let place = try Workplace(), model = try await Model(place), hub = TestHub(model.entries)
    let outcome = try place.run(model.pull(hub, place))
    #expect(outcome.code == 0 && !outcome.showsCrash, "\(outcome)")
    #expect(outcome.output == place.path + "/model\n", "\(outcome)")
    #expect(outcome.errors.contains("2 files") && outcome.errors.contains("model.safetensors"), "\(outcome)")
    #expect(!outcome.errors.contains("\u{1B}"), "no control sequences where there is no terminal")
    #expect(model.isComplete(place))
    #expect(!FileManager.default.fileExists(atPath: place.path + "/model/.pull"))

    let one = try place.run(model.pull(hub, place, ["--file", "config.json"]))
    #expect(one.output == place.path + "/model/config.json\n", "\(one)")
  }

  @Test(arguments: [SIGKILL, SIGINT]) func goesOnAfterAnEnd(signal: Int32) async throws {
    let place = try Workplace(), model = try await Model(place)
    do {
      let slow = model.slowHub
      let process = try place.start(model.pull(slow, place))
      #expect(process.waits { Self.hasProgress(place) }, "nothing arrived")
      process.send(signal)
      let outcome = process.wait()
      #expect(signal == SIGKILL ? outcome.signal == SIGKILL : outcome.code == 130, "\(outcome)")
      if signal == SIGINT { #expect(outcome.errors.contains("interrupted") && !outcome.showsCrash, "\(outcome)") }
      #expect(!model.isComplete(place), "it ended before it was stopped")
    }
    let hub = TestHub(model.entries)
    let outcome = try place.run(model.pull(hub, place))
    #expect(outcome.code == 0 && model.isComplete(place), "\(outcome)")
    let range = try #require(hub.delivery.requests.first?.range, "the rest was asked for, not everything")
    #expect(range.lowerBound >= 1 << 20)
  }

  @Test func saysWhyNot() async throws {
    let place = try Workplace(), model = try await Model(place)
    let gated = TestHub(model.entries) { _, _, response in
      response = LocalResponse(403, headers: [("X-Error-Code", "GatedRepo")])
    }
    let refused = try place.run(model.pull(gated, place))
    #expect(refused.code == 2 && refused.output == "" && !refused.showsCrash, "\(refused)")
    for word in ["gated", "HF_TOKEN", TestHub.model] { #expect(refused.errors.contains(word), "\(refused)") }
    let damaged = TestHub(model.entries) { part, _, response in
      if part == .delivery { response.body[4321] ^= 1 }
    }
    let outcome = try place.run(model.pull(damaged, place))
    #expect(outcome.code == 2 && outcome.errors.contains("error: 'model.safetensors' arrived damaged"), "\(outcome)")
    #expect(!FileManager.default.fileExists(atPath: place.path + "/model/model.safetensors"))
  }
}
