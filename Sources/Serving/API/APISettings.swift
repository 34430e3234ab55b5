// What an operator has decided about a service, as one value.

package import Core
package import Formats
package import Inference

/// How the endpoints of a model answer.
package struct APISettings: Sendable {
  /// What the model is called.
  package var name: String
  /// Of this program.
  package var version: String
  /// How conversations are written; nil: the model knows none.
  package var template: ChatTemplate?
  /// How the model marks reasoning and calls of tools; nil: as its template says.
  package var family: StreamFamily?
  /// The decoder was trained so that its last state is a vector of the text.
  package var poolsLastToken = false
  /// Keys of which a request must bring one; nil: none is needed.
  package var keys: KeyRing?
  /// Whether requests may name folders on the server's disk to load adapters from.
  package var allowsAdapterLoading = false
  /// How blocks of the cache go to other servers and come from them; nil: they do not.
  package var transfer: CacheTransfer?
  /// Told of what the watchdog sees.
  package var observer: any EventSink<ServiceEvent> = FanOut([])
  /// Whether it is told of every request, too.
  package var recordsRequests = false

  package init(name: String, version: String, template: ChatTemplate? = nil) {
    (self.name, self.version, self.template) = (name, version, template)
  }
}
