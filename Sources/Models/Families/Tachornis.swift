// Models that were trained here and that no layout of Hugging Face has words for.

internal import Core

extension ModelFamily {
  static let tachornis = ModelFamily(types: ["tachornis"]) { settings in
    do throws(ModelError) {
      return GPT(try GPTFolder.configuration(in: settings.object, of: "config.json"))
    } catch {
      settings.report(error.message)
      return GPT(GPTConfiguration())
    }
  }
}
