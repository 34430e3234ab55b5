// The settings of a server: files, `--set` and what is wrong with them.

import Core
import Serving
import Testing

@Suite struct ServeConfigurationTests {
  @Test func adaptersAreSettings() throws {
    let settings: ServeConfiguration = try ConfigurationLoader.load(
      text: "{ model: 'models/a.gguf', adapters: { polite: 'adapters/polite' }, allowAdapterLoading: true }",
      name: "serve.json5",
      overrides: ["adapters.legal=legal.gguf", #"adapters={"v1.5": "other"}"#, "adapters.polite=kind"])
    #expect(settings.adapters == ["polite": "kind", "legal": "legal.gguf", "v1.5": "other"])
    #expect(settings.allowAdapterLoading && settings.servedName == "a")
  }

  @Test func anAdapterHasANameOfItsOwn() {
    #expect(throws: ConfigurationError.self) {
      let _: ServeConfiguration = try ConfigurationLoader.load(
        overrides: ["model=models/a.gguf", "adapters.a=adapters/a"])
    }
  }
}
