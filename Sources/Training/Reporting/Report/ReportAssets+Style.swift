// The look of the report: one column of cards, light or dark as the reader's system is, legible on a phone.

/// The parts of the page that do not depend on the run.
enum ReportAssets {
  static let style = #"""
    :root {
      --page: #f6f5f2; --card: #ffffff; --ink: #1c2128; --soft: #667080; --line: #e4e2dc; --grid: #eeece7;
      --train: #2f6fed; --raw: #9db8ee; --validation: #e0662c; --rate: #0f9b8e; --norm: #8552d6; --speed: #4c9a2a;
      --mfu: #c2417c; --good: #2e8540; --bad: #c0392b;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #14161a; --card: #1c1f25; --ink: #e7e9ee; --soft: #98a1b0; --line: #2c3038; --grid: #262a31;
        --train: #6ea0ff; --raw: #3f5d99; --validation: #ff9a62; --rate: #3fd0c1; --norm: #b78cff; --speed: #8cd36a;
        --mfu: #f27fb2; --good: #5ecb7a; --bad: #ff7a6b;
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0; background: var(--page); color: var(--ink);
      font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
    }
    main { max-width: 1120px; margin: 0 auto; padding: 40px 20px 60px; }
    .eyebrow { margin: 0; color: var(--soft); font-size: 12px; letter-spacing: .09em; text-transform: uppercase; }
    h1 {
      margin: 2px 0 4px; font-size: 30px; line-height: 1.2; letter-spacing: -.01em; overflow-wrap: anywhere;
      display: flex; flex-wrap: wrap; align-items: center; gap: 6px 14px;
    }
    h2 { margin: 0 0 12px; font-size: 17px; }
    .status {
      font-size: 13px; font-weight: 500; letter-spacing: 0; padding: 2px 11px; border-radius: 99px;
      border: 1px solid currentColor;
    }
    .status.running { color: var(--train); } .status.over { color: var(--good); } .status.failed { color: var(--bad); }
    .facts { margin: 0; color: var(--soft); }
    .tiles {
      display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 26px 0 12px;
    }
    .tile, figure, section:not(.charts) {
      background: var(--card); border: 1px solid var(--line); border-radius: 12px;
    }
    .tile { padding: 12px 16px; }
    .tile dt { color: var(--soft); font-size: 13px; }
    .tile dd { margin: 0; font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.3; }
    .tile small { color: var(--soft); font-size: 12.5px; }
    .charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px; }
    figure { margin: 0; padding: 14px 16px 8px; position: relative; min-width: 0; }
    figure.wide { grid-column: 1 / -1; }
    figcaption { display: flex; flex-wrap: wrap; gap: 2px 16px; align-items: baseline; min-height: 27px; }
    figcaption b { font-size: 15px; font-weight: 600; }
    figcaption .unit { color: var(--soft); font-size: 13px; margin-left: -10px; }
    .key { font-size: 13px; color: var(--soft); white-space: nowrap; font-variant-numeric: tabular-nums; }
    .key i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: 3px; }
    .key i.dot { width: 8px; height: 8px; border-radius: 50%; vertical-align: 0; }
    .key b { color: var(--ink); font-size: 13px; margin-left: 4px; }
    figure button {
      margin-left: auto; font: inherit; font-size: 12.5px; color: var(--soft); background: none; cursor: pointer;
      border: 1px solid var(--line); border-radius: 7px; padding: 1px 9px;
    }
    figure button:hover { color: var(--ink); }
    svg { display: block; width: 100%; touch-action: pan-y; cursor: crosshair; }
    svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
    .grid { stroke: var(--grid); } .axis { stroke: var(--line); }
    .rule { stroke: var(--soft); stroke-dasharray: 3 3; }
    .badge rect { fill: var(--ink); } .badge text { fill: var(--card); }
    section:not(.charts) { margin-top: 12px; padding: 16px 20px; }
    details + details { border-top: 1px solid var(--line); margin-top: 8px; padding-top: 8px; }
    summary { cursor: pointer; color: var(--soft); font-size: 14px; }
    pre {
      margin: 10px 0 4px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; line-height: 1.55;
      font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
    }
    pre.sample { font: 15px/1.6 Charter, Georgia, "Times New Roman", serif; max-width: 75ch; }
    .warnings { margin: 0; padding-left: 20px; overflow-wrap: anywhere; white-space: pre-line; }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
    th, td { text-align: right; padding: 5px 12px; white-space: nowrap; }
    th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
    th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--line); }
    tr + tr td { border-top: 1px solid var(--grid); }
    .empty, footer { color: var(--soft); }
    footer { margin-top: 22px; font-size: 13px; text-align: center; }
    @media (max-width: 720px) {
      main { padding: 22px 12px 40px; }
      .charts { grid-template-columns: minmax(0, 1fr); }
      .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
      h1 { font-size: 24px; } .tile dd { font-size: 20px; } figure { padding: 12px 10px 6px; }
    }
    @media print { body { background: none; } figure, section { break-inside: avoid; } figure button { display: none; } }
    """#
}
