// swift-tools-version: 6.2
import PackageDescription

// The house, floor by floor. A target imports only targets of lower floors; the build checks it
// (`swift build --explicit-target-dependency-import-check error`).

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

// Of `Formats`, for downloads from a hub.
let network: [Target.Dependency] = [
  .product(name: "AsyncHTTPClient", package: "async-http-client"),
  .product(name: "Crypto", package: "swift-crypto"),
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOHTTP1", package: "swift-nio"),
  .product(name: "NIOSSL", package: "swift-nio-ssl"),
]

// Of `Serving`.
let server = network + [.product(name: "NIOPosix", package: "swift-nio")]

// Of `Inference`: queues of requests, names of blocks.
let engine: [Target.Dependency] = [
  .product(name: "Crypto", package: "swift-crypto"),
  .product(name: "DequeModule", package: "swift-collections"),
  .product(name: "HeapModule", package: "swift-collections"),
]

let swiftSettings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies + ["Support"], exclude: exclude, swiftSettings: swiftSettings)
}

// Complete programs, one file each.
let examples = ["LinearRegression", "TrainTinyGPT"]

func example(_ name: String) -> Target {
  .executableTarget(
    name: name, dependencies: ["Tachornis"], path: "Examples",
    exclude: ["ProductLadder"] + examples.filter { $0 != name }.map { "\($0).swift" }, swiftSettings: swiftSettings)
}

let package = Package(
  name: "Tachornis",
  products: [
    .library(name: "Tachornis", targets: ["Tachornis"]),
    .library(name: "KernelLanguage", targets: ["KernelLanguage"]),
    .library(name: "Emulator", targets: ["Emulator"]),
    .executable(name: "tachornis", targets: ["tachornis-cli"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.30.0"),
  ],
  targets: [
    // Floor 0
    .target(name: "CKernels"),
    .target(name: "CDrivers"),
    library("Core"),
    // Floor 1
    library("Tensors", ["Core"]),
    library("KernelLanguage", ["Core"]),
    library("Formats", ["Core"] + network),
    // Floor 2
    library("CPUBackend", ["Core", "Tensors", "CKernels"]),
    library("Emulator", ["Core", "KernelLanguage"]),
    library("Networks", ["Core", "Tensors"]),
    // Floor 3
    library("GPUBackend", ["Core", "Tensors", "KernelLanguage", "Emulator", "CDrivers"]),
    library("Models", ["CKernels", "Core", "Tensors", "Networks", "Formats"]),
    // Floor 4
    library("Quantization", ["Core", "Tensors", "Networks", "Models", "Formats"]),
    // Floor 5
    library("Inference", ["Core", "Tensors", "Networks", "Models", "Formats"] + engine),
    library("Training", ["Core", "Tensors", "Networks", "Models", "Formats"]),
    // Floor 6
    library("Serving", ["Core", "Formats", "Models", "Inference"] + server),
    // Floor 7
    library("Tachornis", ["Core", "Tensors", "CPUBackend", "GPUBackend", "Formats", "Networks", "Models", "Training"]),
    .executableTarget(
      name: "tachornis-cli",
      dependencies: [
        "Core", "Tensors", "CPUBackend", "CKernels", "KernelLanguage", "Emulator", "GPUBackend", "Formats", "Networks",
        "Models", "Quantization", "Training", "Inference", "Serving", argumentParser,
      ],
      swiftSettings: swiftSettings),

    .target(
      name: "Support",
      dependencies: [
        "Core", "Tensors", "CPUBackend", "Networks", "Models", "Formats",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ], path: "Tests/Support",
      swiftSettings: swiftSettings),
    tests("CoreTests", ["Core"]),
    tests("TensorsTests", ["Core", "Tensors", "CPUBackend"], exclude: ["Fixtures"]),
    tests("KernelLanguageTests", ["Core", "KernelLanguage"]),
    tests("EmulatorTests", ["Core", "KernelLanguage", "Emulator"]),
    .target(name: "FakeDrivers", dependencies: ["CDrivers"], path: "Tests/FakeDrivers"),
    tests(
      "GPUBackendTests",
      ["Core", "Tensors", "KernelLanguage", "Emulator", "CDrivers", "FakeDrivers", "GPUBackend", "CPUBackend"]),
    tests("FormatsTests", ["Core", "Formats"], exclude: ["Fixtures"]),
    tests("CPUBackendTests", ["Core", "Tensors", "CPUBackend", "CKernels"]),
    tests("NetworksTests", ["Core", "Tensors", "CPUBackend", "Networks"]),
    tests(
      "ModelsTests", ["Core", "Tensors", "CPUBackend", "Networks", "Models", "Formats"], exclude: ["Fixtures"]),
    tests(
      "QuantizationTests", ["Core", "Tensors", "CPUBackend", "Networks", "Models", "Formats", "Quantization"],
      exclude: ["Fixtures"]),
    tests("InferenceTests", ["Core", "Tensors", "CPUBackend", "Networks", "Models", "Formats", "Inference"]),
    tests("TrainingTests", ["Core", "Tensors", "CPUBackend", "Networks", "Models", "Training", "Formats"]),
    tests(
      "ServingTests", ["Core", "Tensors", "CPUBackend", "Formats", "Models", "Inference", "Serving"] + network,
      exclude: ["Fixtures"]),
    tests("CommandTests", ["Core", "Formats", "tachornis-cli"]),
    .executableTarget(
      name: "ProductLadder", dependencies: ["KernelLanguage", "Emulator"], path: "Examples/ProductLadder",
      swiftSettings: swiftSettings),
  ] + examples.map(example),
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
