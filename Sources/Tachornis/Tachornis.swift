// The umbrella: one import for programs that build, train and sample models.
//
//     import Tachornis
//
// Invariant: nothing is declared here.

@_exported public import CPUBackend
@_exported public import Core
@_exported public import Formats
@_exported public import GPUBackend
@_exported public import Models
@_exported public import Networks
@_exported public import Tensors
@_exported public import Training
