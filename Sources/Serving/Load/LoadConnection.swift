// A kept connection to the server that is measured: one request after another.
//
// All of it belongs to one event loop.

internal import NIOCore

/// How a request is judged.
enum LoadKind {
  case usual
  /// Is broken off after so many events of the answer.
  case brokenOff(after: Int)
  /// Must be refused.
  case wrong
}

/// How a request ended.
enum LoadEnd {
  case answered(LoadSample, input: Int, cached: Int)
  case left
  case refused
  /// - Parameter answer: what the server said.
  case failed(String, answer: String = "")
}

/// Sends requests and reads their answers.
final class LoadConnection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// A request under way.
  private struct Exchange {
    var kind: LoadKind
    var begun: NIODeadline
    var first: NIODeadline?
    var last: NIODeadline
    var head: ReplyHead?
    var events = 0
    var isDone = false
    /// The last event before the end, or the whole answer: it says what was used.
    var final = ByteBuffer()
  }

  /// Holds this one too, until its end.
  private let run: LoadRun
  private var context: ChannelHandlerContext?
  private var reader = ReplyReader()
  private var events = EventReader()
  private var unread = ByteBuffer()
  private var exchange: Exchange?

  init(_ run: LoadRun) { self.run = run }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  /// When the request under way began.
  var begun: NIODeadline? { exchange?.begun }

  func send(_ bytes: ByteBuffer, _ kind: LoadKind, since begun: NIODeadline) {
    guard let context else { return run.ended(self, .failed("the connection was closed"), keeps: false) }
    exchange = Exchange(kind: kind, begun: begun, last: begun)
    context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    if case .brokenOff(after: 0) = kind { end(.left, keeps: false) }
  }

  func close() {
    context?.close(promise: nil)
    context = nil
  }

  /// Gives up the request under way.
  func abandon(_ reason: String) { if exchange != nil { end(.failed(reason), keeps: false) } }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    if unread.readableBytes == 0 { unread = bytes } else { unread.writeBuffer(&bytes) }
    let now = NIODeadline.now()
    do throws(ReplyError) {
      while exchange != nil, let part = try reader.next(&unread) { take(part, now) }
    } catch {
      end(.failed("not HTTP: \(error.message)"), keeps: false)
    }
  }

  private func take(_ part: ReplyReader.Part, _ now: NIODeadline) {
    switch part {
    case .head(let head): exchange?.head = head
    case .body(let bytes):
      guard exchange?.head?.isEventStream == true, exchange?.head?.status == 200 else {
        var bytes = bytes
        exchange?.final.writeBuffer(&bytes)
        return
      }
      events.append(bytes)
      while exchange != nil, let event = events.next() { take(event, now) }
    case .end: finish(now)
    }
  }

  private func take(_ event: ByteBuffer, _ now: NIODeadline) {
    guard let data = event.eventData, var exchange else { return }
    if data.elementsEqual("[DONE]".utf8) {
      exchange.isDone = true
    } else {
      exchange.events += 1
      if exchange.first == nil {
        exchange.first = now
      } else {
        run.report.betweenTokens.append(Float(milliseconds(now - exchange.last)))
      }
      exchange.last = now
      exchange.final = event
    }
    self.exchange = exchange
    if case .brokenOff(let count) = exchange.kind, exchange.events >= count { end(.left, keeps: false) }
  }

  private func finish(_ now: NIODeadline) {
    guard let exchange, let head = exchange.head else { return }
    let keeps = head.keepsAlive
    var answer: String { String(decoding: exchange.final.readableBytesView.prefix(300), as: UTF8.self) }
    if case .wrong = exchange.kind {
      let isRefused = (400..<500).contains(head.status)
      return end(isRefused ? .refused : .failed("HTTP \(head.status) to a wrong request"), keeps: keeps)
    }
    if head.status != 200 { return end(.failed("HTTP \(head.status)", answer: answer), keeps: keeps) }
    if head.isEventStream && !exchange.isDone { return end(.failed("a stream without [DONE]"), keeps: false) }
    let use = Self.use(exchange.final)
    if use.isError { return end(.failed("an error in the stream", answer: answer), keeps: keeps) }
    let last = head.isEventStream ? exchange.last : now
    let sample = LoadSample(
      firstToken: milliseconds((exchange.first ?? last) - exchange.begun), whole: milliseconds(last - exchange.begun),
      output: use.output ?? exchange.events)
    end(.answered(sample, input: use.input, cached: use.cached), keeps: keeps)
  }

  /// What the server says that it used.
  private static func use(_ answer: ByteBuffer) -> (input: Int, cached: Int, output: Int?, isError: Bool) {
    answer.withUnsafeReadableBytes { bytes in
      guard let start = bytes.firstIndex(of: UInt8(ascii: "{")) else { return (0, 0, nil, false) }
      let json = RawJSON(bytes)
      let members = json.members(at: start) ?? []
      if members.contains(where: { json.is($0.key, "error") }) { return (0, 0, nil, true) }
      guard let usage = members.first(where: { json.is($0.key, "usage") })?.value.lowerBound else {
        return (0, 0, nil, false)
      }
      func number(_ key: StaticString, _ place: Int) -> Int? { json.value(key, at: place).flatMap(json.integer) }
      let details = json.value("prompt_tokens_details", at: usage)?.lowerBound
      let cached = details.flatMap { number("cached_tokens", $0) }
      return (number("prompt_tokens", usage) ?? 0, cached ?? 0, number("completion_tokens", usage), false)
    }
  }

  private func end(_ result: LoadEnd, keeps: Bool) {
    exchange = nil
    events = EventReader()
    if !keeps { close() }
    run.ended(self, result, keeps: keeps)
  }

  func channelInactive(context: ChannelHandlerContext) {
    self.context = nil
    if exchange == nil {
      run.closed(self)
    } else if reader.endsWithConnection {
      exchange?.head?.keepsAlive = false
      finish(.now())
    } else {
      end(.failed("the connection was closed before the end of the answer"), keeps: false)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func milliseconds(_ time: TimeAmount) -> Double { Double(time.nanoseconds) / 1e6 }
}
