// How the page looks: light or dark as the reader's system is, legible on a phone.

extension Page {
  static let style = #"""
    :root {
      --page: #f6f5f2; --card: #ffffff; --ink: #1c2128; --soft: #667080; --line: #e4e2dc; --grid: #eeece7;
      --a: #2f6fed; --b: #e0662c; --c: #0f9b8e; --d: #8552d6; --bad: #c0392b; --mine: #e8effd;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #14161a; --card: #1c1f25; --ink: #e7e9ee; --soft: #98a1b0; --line: #2c3038; --grid: #262a31;
        --a: #6ea0ff; --b: #ff9a62; --c: #3fd0c1; --d: #b78cff; --bad: #ff7a6b; --mine: #22304d;
      }
    }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    html, body { height: 100%; }
    body {
      margin: 0; background: var(--page); color: var(--ink); display: flex; flex-direction: column;
      font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
    }
    header {
      display: flex; flex-wrap: wrap; gap: 6px 18px; align-items: center; padding: 10px 20px; background: var(--card);
      border-bottom: 1px solid var(--line);
    }
    h1 { margin: 0; font-size: 17px; overflow-wrap: anywhere; }
    nav { margin-left: auto; display: flex; gap: 4px; }
    button, input, select, textarea {
      font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
      padding: 6px 12px;
    }
    button { cursor: pointer; } button:hover { border-color: var(--soft); }
    button:disabled { opacity: .5; cursor: default; }
    :focus-visible { outline: 2px solid var(--a); outline-offset: 1px; }
    nav button { border: 0; color: var(--soft); } nav button.on { color: var(--ink); background: var(--page); font-weight: 600; }
    #notice { padding: 8px 20px; background: var(--bad); color: #fff; overflow-wrap: anywhere; }
    .soft { color: var(--soft); font-size: 13px; }
    #chat {
      flex: 1; min-height: 0; display: grid; grid-template-columns: minmax(0, 1fr) 250px; gap: 16px; padding: 16px 20px;
      width: 100%; max-width: 1180px; margin: 0 auto;
    }
    #talk { display: flex; flex-direction: column; min-height: 0; }
    #messages { flex: 1; overflow-y: auto; padding-right: 6px; }
    .message { margin: 0 0 14px; }
    .message .text {
      white-space: pre-wrap; overflow-wrap: anywhere; background: var(--card); border: 1px solid var(--line);
      border-radius: 12px; padding: 9px 14px; min-height: 42px;
    }
    .message.user .text { background: var(--mine); border-color: transparent; margin-left: 12%; }
    .message pre {
      margin: 8px 0; padding: 9px 12px; background: var(--page); border-radius: 8px; overflow-x: auto; white-space: pre;
      font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
    }
    .message details { color: var(--soft); font-size: 13.5px; margin-bottom: 6px; white-space: pre-wrap; }
    .message .facts { color: var(--soft); font-size: 12.5px; padding: 2px 14px; font-variant-numeric: tabular-nums; }
    #ask { display: flex; gap: 8px; padding-top: 10px; align-items: flex-end; }
    #prompt { flex: 1; resize: none; max-height: 40vh; border-radius: 12px; padding: 10px 14px; }
    #send { background: var(--a); border-color: var(--a); color: #fff; border-radius: 12px; padding: 10px 18px; }
    @media (prefers-color-scheme: dark) { #send { color: #10131a; } }
    aside { display: flex; flex-direction: column; gap: 9px; overflow-y: auto; font-size: 13.5px; color: var(--soft); }
    aside label { display: grid; grid-template-columns: 1fr 104px; align-items: center; gap: 8px; }
    aside label textarea { grid-column: 1 / -1; resize: vertical; }
    aside input, aside select { min-width: 0; width: 100%; padding: 4px 8px; color: var(--ink); }
    #dashboard { width: 100%; max-width: 1180px; margin: 0 auto; padding: 16px 20px; }
    #tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0 0 12px; }
    .tile, figure { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
    .tile { padding: 12px 16px; } .tile dt { color: var(--soft); font-size: 13px; }
    .tile dd { margin: 0; font-size: 23px; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.3; }
    .tile small { color: var(--soft); font-size: 12.5px; }
    #charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px; }
    figure { margin: 0; padding: 12px 16px 8px; min-width: 0; }
    figcaption { display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: baseline; font-size: 13px; color: var(--soft); }
    figcaption b { color: var(--ink); font-size: 15px; font-weight: 600; }
    figcaption i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: 3px; }
    svg { display: block; width: 100%; height: 190px; }
    svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
    .grid { stroke: var(--grid); }
    @media (max-width: 760px) {
      #chat { grid-template-columns: minmax(0, 1fr); grid-template-rows: minmax(60vh, 1fr) auto; padding: 12px; }
      #chat, body, html { height: auto; } #charts { grid-template-columns: minmax(0, 1fr); }
      #tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; } #dashboard { padding: 12px; }
      .message.user .text { margin-left: 4%; }
    }
    """#
}
