// The models that this package trains, `GPT`, as they stand on disk: GPT-2 (Radford et al., 2019) in Hugging Face's layout,
// and configurations that none of Hugging Face's layouts has words for in our own.

internal import Networks
internal import Tensors

extension ModelFamily {
  static let gpt2 = ModelFamily(layout: .gpt2)
  static let tachornis = ModelFamily(layout: .own)

  /// A layout of `GPT` as a family: what the layout says of merged and transposed tensors is kept.
  private init(layout: ModelLayout) {
    self.init(
      types: [layout.type], prefix: layout.prefix, ignored: layout.buffers,
      read: { settings in GPT(layout.read(&settings)) })
    sources = { model, parameters in
      var result: [String: ParameterSource] = [:]
      for stored in layout.tensors((model as! GPT).configuration, parameters) {
        var row = 0
        let count = stored.parameters.map { $0.shape[0] }.reduce(0, +)
        for parameter in stored.parameters {
          let rows = row..<(row + parameter.shape[0])
          row = rows.upperBound
          let isWhole = stored.parameters.count == 1 && !stored.transposed
          result[parameter.name] =
            isWhole ? .tensor(stored.name) : .rows(rows, of: stored.name, count: count, transposed: stored.transposed)
        }
      }
      return result
    }
  }
}
