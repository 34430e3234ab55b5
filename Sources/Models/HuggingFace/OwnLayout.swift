// Models that no layout of Hugging Face can express (squared ReLU, soft-caps, ...): the whole configuration stands in
// config.json, and tensors have our names. Only this package reads it.

internal import Core
internal import Networks

extension ModelLayout {
  static let own = ModelLayout(
    type: "tachornis", architecture: "TachornisForCausalLM", prefix: "model.",
    read: { settings in
      guard let configuration = settings.object["configuration"] else {
        settings.report("'configuration' is missing.")
        return GPTConfiguration()
      }
      do throws(ConfigurationError) {
        return try ConfigurationLoader.load(text: configuration.json, name: "'configuration'")
      } catch {
        settings.report(error.message)
        return GPTConfiguration()
      }
    },
    write: { JSONObject([("configuration", ConfigurationLoader.json($0))]) },
    obstacles: { _ in [] },
    tensors: { _, parameters in parameters.map { StoredTensor(name: $0.name, parameters: [$0]) } })
}
