public import ArgumentParser
public import Formats
import Models
public import Networks

// Choices of the libraries as values of options.

extension Precision: ExpressibleByArgument {}
extension WeightPrecision: ExpressibleByArgument {}
extension SplitRule: ExpressibleByArgument {}
