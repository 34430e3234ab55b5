public import ArgumentParser
public import Formats
public import Models
public import Networks

// Choices of the libraries as values of options.

extension Pooling: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}
extension WeightPrecision: ExpressibleByArgument {}
extension SplitRule: ExpressibleByArgument {}
