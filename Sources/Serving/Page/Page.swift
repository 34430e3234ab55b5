// The page at /: a conversation with the model and how the server does, in one file that fetches nothing from elsewhere.
//
// Invariant: it shows no more than what the API gives to whoever has a key; text from the model is only ever shown as text.

/// The page, and the reply that it is.
enum Page {
  static let reply: HTTPReply = {
    var reply = HTTPReply(200, "text/html; charset=utf-8", Array(html.utf8))
    reply.headers = [
      (
        "content-security-policy",
        "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
          + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      ), ("referrer-policy", "no-referrer"), ("x-content-type-options", "nosniff"), ("cache-control", "no-cache"),
    ]
    return reply
  }()

  private static let html = """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <link rel="icon" href="data:,">
    <title>Tachornis</title>
    <style>
    \(style)
    </style>
    </head>
    <body>
    \(body)
    <script>
    'use strict';
    \(shared)
    \(chat)
    \(dashboard)
    </script>
    </body>
    </html>

    """

  private static let body = """
    <header>
    <h1 id="model">Tachornis</h1>
    <nav><button id="show-chat" class="on">Chat</button><button id="show-dashboard">Dashboard</button></nav>
    </header>
    <div id="notice" role="alert" hidden></div>
    <main id="chat">
    <section id="talk">
    <div id="messages" aria-live="polite"></div>
    <form id="ask">
    <textarea id="prompt" rows="1" placeholder="Write to the model" aria-label="Message" autofocus></textarea>
    <button id="send" type="submit">Send</button>
    </form>
    </section>
    <aside>
    <button id="fresh" type="button">New conversation</button>
    <label>Kind <select id="kind"><option value="chat">conversation</option>
    <option value="text">plain text</option></select></label>
    <label id="system-label">System message <textarea id="system" rows="3"></textarea></label>
    <label>Temperature <input id="temperature" type="number" min="0" max="2" step="0.1" value="0.7"></label>
    <label>Top p <input id="top_p" type="number" min="0.01" max="1" step="0.01" value="0.95"></label>
    <label>Top k <input id="top_k" type="number" min="0" step="1" placeholder="all"></label>
    <label>Min p <input id="min_p" type="number" min="0" max="1" step="0.01" placeholder="0"></label>
    <label>Repetition penalty <input id="repetition_penalty" type="number" min="0.1" max="2" step="0.05" placeholder="1"></label>
    <label>Most tokens <input id="max_tokens" type="number" min="1" step="1" placeholder="that fit"></label>
    <label>Seed <input id="seed" type="number" step="1" placeholder="random"></label>
    <label>Stop at <input id="stop" type="text" placeholder="nothing"></label>
    <label>Key <input id="key" type="password" autocomplete="off" placeholder="none"></label>
    </aside>
    </main>
    <main id="dashboard" hidden>
    <dl id="tiles"></dl>
    <div id="charts"></div>
    <p class="soft">Latencies are those of the last minute. From <code>/metrics</code>, once a second, while this page is looked at.</p>
    </main>
    """
}
