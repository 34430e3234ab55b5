public import ArgumentParser
public import Formats
public import Networks

// Choices of the libraries as values of options.

extension WeightPrecision: ExpressibleByArgument {}
extension SplitRule: ExpressibleByArgument {}
