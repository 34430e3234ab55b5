import ArgumentParser
import Core
import Formats
import FoundationEssentials

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Learn a tokenizer, or turn text into tokens and back.",
    subcommands: [Learn.self, Encode.self, Decode.self, Count.self])

  struct Learn: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Learn a byte-level BPE tokenizer from text.",
      discussion: "Example:\n  tachornis tokenize learn --data book.txt --vocabulary 8192 --out tokenizer.json")

    @Option(help: "A text file, a JSONL file, or a folder of such.")
    var data: String

    @Option(help: "Tokens in all, the 256 bytes and the end of text included.")
    var vocabulary = 8192

    @Option(
      help: "How text is cut before pairs are merged: \(SplitRule.allCases.map(\.rawValue).joined(separator: ", ")).")
    var split: SplitRule = .gpt2

    @Option(help: "Where to write it: tokenizer.json, or a .tiktoken file.")
    var out = "tokenizer.json"

    @Option(help: "Threads to count with.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    func validate() throws {
      if vocabulary < 257 { throw ValidationError("--vocabulary is \(vocabulary); it must be 257 or more.") }
      if threads < 1 { throw ValidationError("--threads is \(threads); it must be 1 or more.") }
    }

    func run() throws {
      let corpus = try Corpus(path: data)
      let tokenizer = try corpus.trainBytePairEncoding(vocabularySize: vocabulary, splitRule: split, threads: threads)
      if out.hasSuffix(".tiktoken") {
        try TiktokenFile.write(tokenizer, to: out)
      } else {
        try TokenizerFile.write(tokenizer, to: out)
      }
      writeOutput("\(out): \(tokenizer.vocabularySize) tokens from \(Numerals.bytes(corpus.byteCount)) of text\n")
    }
  }

  struct Encode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the tokens of standard input or a file, separated by spaces.",
      discussion: """
        Examples:
          echo 'Hello there' | tachornis tokenize encode --tokenizer tokenizer.json
          echo '"one\\nor two lines"' | tachornis tokenize encode --tokenizer tokenizer.json --json --specials
        """)

    @OptionGroup var options: TokenizerOptions

    @Flag(help: "Each line is a JSON string; prints a JSON list of tokens for each.")
    var json = false

    @Flag(help: "Read special tokens in the text as such, and put those around it that the model was trained with.")
    var specials = false

    func run() throws {
      let tokenizer = try options.open()
      func tokens(_ text: [UInt8]) -> [Int32] {
        let tokens = tokenizer.encode(text, specials: specials ? .recognized : .asText)
        return specials ? tokenizer.addSpecials(tokens, nil).tokens : tokens
      }
      guard json else {
        writeOutput(tokens(try options.readInput()).map { String($0) }.joined(separator: " ") + "\n")
        return
      }
      for line in try options.readLines() {
        guard let text = line.string else { throw CommandError("A line is \(line.kind) instead of a JSON string.") }
        writeOutput("[" + tokens(Array(text.utf8)).map { String($0) }.joined(separator: ",") + "]\n")
      }
    }
  }

  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the text of tokens on standard input or in a file, separated by white space.",
      discussion: "Example:\n  echo '15496 612' | tachornis tokenize decode --tokenizer tokenizer.json")

    @OptionGroup var options: TokenizerOptions

    @Flag(help: "Each line is a JSON list of tokens; prints a JSON string for each.")
    var json = false

    @Flag(help: "Leave special tokens out.")
    var skipSpecials = false

    func run() throws {
      let tokenizer = try options.open()
      func text(_ words: [String]) throws -> String {
        let tokens = try words.map { word in
          guard let token = Int32(word), token >= 0, token < tokenizer.vocabularySize else {
            throw CommandError(
              "'\(word.prefix(40))' is no token: tokens are numbers from 0 to \(tokenizer.vocabularySize - 1).")
          }
          return token
        }
        return tokenizer.decode(tokens, skippingSpecials: skipSpecials)
      }
      guard json else {
        let input = String(decoding: try options.readInput(), as: UTF8.self)
        writeOutput(try text(input.split(whereSeparator: \.isWhitespace).map(String.init)))
        return
      }
      for line in try options.readLines() {
        guard let tokens = line.array else { throw CommandError("A line is \(line.kind) instead of a list of tokens.") }
        writeOutput(JSONValue.string(try text(tokens.map { $0.json })).json + "\n")
      }
    }
  }

  struct Count: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print how many bytes and tokens a text has.",
      discussion: "Example:\n  tachornis tokenize count --tokenizer tokenizer.json --data book.txt")

    @OptionGroup var options: TokenizerOptions

    func run() throws {
      let text = try options.readInput()
      let tokens = try options.open().encode(text)
      let line: JSONValue = ["bytes": .number(JSONNumber(text.count)), "tokens": .number(JSONNumber(tokens.count))]
      writeOutput(line.json + "\n")
    }
  }
}

/// A tokenizer, and what it is to read.
struct TokenizerOptions: ParsableArguments {
  @Option(help: "A tokenizer.json, SentencePiece .model, .tiktoken or GGUF file, or a folder that holds one.")
  var tokenizer: String

  @Option(help: "The file to read; standard input if not given.")
  var data: String?

  @Option(help: "How a .tiktoken file's text is cut before pairs are merged; by default what its name tells.")
  var split: SplitRule?

  func open() throws -> any Tokenizer {
    try TokenizerFile.read(path: tokenizer, splitRule: split)
  }

  /// The lines of the input as JSON.
  func readLines() throws -> [JSONValue] {
    try readInput().split(separator: 0x0A).enumerated().map { number, line in
      do throws(JSONError) { return try JSONValue(parsing: String(decoding: line, as: UTF8.self)) } catch {
        throw CommandError("Line \(number + 1) is not JSON: \(error.message).")
      }
    }
  }

  func readInput() throws -> [UInt8] {
    if let data { return try MappedFile(path: data).withBytes { Array($0) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = read(STDIN_FILENO, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
    return bytes
  }
}
