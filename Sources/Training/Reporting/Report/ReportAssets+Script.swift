// The curves of the report: drawn as SVG by a few functions without a library.
//
// Invariant: charts are drawn at the width that they have, and drawn again when it changes; all of them read out the
// same step.

extension ReportAssets {
  static let script = #"""
    'use strict';
    const data = JSON.parse(document.getElementById('data').textContent);
    const series = data.series, steps = series.step, charts = [];
    const finite = v => v !== null && Number.isFinite(v);
    const color = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

    // Text of a number to so many significant digits, with k, M, B from a thousand on; below a thousandth (or on
    // request) with an exponent.
    function brief(v, digits = 3, exponent = finite(v) && v !== 0 && Math.abs(v) < 1e-3) {
      if (!finite(v)) return '–';
      if (exponent && v !== 0) return v.toExponential(digits - 1).replace(/\.?0*e\+?/, 'e');
      for (const [size, name] of [[1e9, 'B'], [1e6, 'M'], [1e3, 'k']])
        if (Math.abs(v) >= size * 0.9995) return rounded(v / size, digits) + name;
      return rounded(v, digits);
    }
    const rounded = (v, digits) => String(Number(v.toPrecision(digits)));
    const whole = v => v.toString().replace(/\B(?=(\d{3})+$)/g, ',');

    // Round numbers from low to high, about `count` of them: 1, 2, 2.5 or 5 times a power of ten apart.
    function niceTicks(low, high, count) {
      if (!(high > low)) return [low];
      const raw = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw * 0.999);
      const ticks = [];
      for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
      return ticks;
    }
    function logTicks(low, high, count) {
      const decades = Math.log10(high / low);
      if (decades < 0.8) return niceTicks(low, high, count);
      const every = Math.max(1, Math.ceil(decades / count)), marks = decades < 2.2 ? [1, 2, 5] : [1], ticks = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += every)
        for (const m of marks) { const v = m * 10 ** e; if (v >= low * 0.999 && v <= high * 1.001) ticks.push(v); }
      return ticks.length > 1 ? ticks : niceTicks(low, high, count);
    }
    // Labels that tell neighbouring ticks apart.
    function tickText(ticks) {
      const exponent = ticks.some(t => t !== 0 && Math.abs(t) < 1e-3) && ticks.every(t => Math.abs(t) < 1);
      for (let digits = 1; digits < 9; digits++) {
        const texts = ticks.map(t => brief(t, digits, exponent));
        const exact = ticks.every((t, i) => t === 0 || Math.abs(value(texts[i]) / t - 1) < 1e-6);
        if (exact && new Set(texts).size === ticks.length) return texts;
      }
      return ticks.map(t => brief(t, 3));
    }
    const value = t => parseFloat(t) * ({ k: 1e3, M: 1e6, B: 1e9 }[t.slice(-1)] || 1);

    function element(name, attributes, parent, text) {
      const node = document.createElementNS('http://www.w3.org/2000/svg', name);
      for (const key in attributes) node.setAttribute(key, attributes[key]);
      if (text !== undefined) node.textContent = text;
      if (parent) parent.appendChild(node);
      return node;
    }
    function html(name, parent, text, className) {
      const node = document.createElement(name);
      if (text !== undefined) node.textContent = text;
      if (className) node.className = className;
      if (parent) parent.appendChild(node);
      return node;
    }

    // A chart: { title, unit, wide, log, zero, curves: [{ name, color, x, y, kind, low, high }] }.
    // kind: 'line', 'faint' (with a band from low to high where given) or 'points'.
    class Chart {
      constructor(spec) {
        Object.assign(this, spec);
        this.figure = html('figure', document.getElementById('charts'), undefined, spec.wide ? 'wide' : '');
        const caption = html('figcaption', this.figure);
        html('b', caption, this.title);
        if (this.unit) html('span', caption, this.unit, 'unit');
        this.readouts = this.curves.map(curve => {
          const key = html('span', caption, undefined, 'key'), mark = html('i', key);
          mark.style.background = `var(--${curve.color})`;
          if (curve.kind === 'points') mark.className = 'dot';
          if (this.curves.length > 1) key.append(curve.name);
          return html('b', key, '');
        });
        if (this.toggle) {
          const button = html('button', caption, '');
          button.type = 'button';
          const label = () => { button.textContent = this.log ? 'log scale' : 'linear scale'; };
          button.onclick = () => { this.log = !this.log; label(); this.draw(); };
          label();
        }
        this.svg = element('svg', { role: 'img', 'aria-label': this.title + ' by step' }, this.figure);
        const point = event => {
          const box = this.svg.getBoundingClientRect();
          read(this.stepAt(event.clientX - box.left));
        };
        this.svg.addEventListener('pointermove', point);
        this.svg.addEventListener('pointerdown', point);
        this.svg.addEventListener('pointerleave', () => read(null));
      }
      // The range of values; wild ones beyond a hundredth at each end do not squeeze the rest.
      range() {
        let values = [];
        for (const curve of this.curves) values = values.concat(curve.y.filter(v => finite(v) && (!this.log || v > 0)));
        if (!values.length) return [0, 1];
        values.sort((a, b) => a - b);
        const at = f => values[Math.min(values.length - 1, Math.floor(f * values.length))];
        let low = values[0], high = values[values.length - 1];
        const inner = at(0.99) - at(0.01);
        if (inner > 0 && high - at(0.99) > 2 * inner) high = at(0.99) + 0.5 * inner;
        if (this.log) {
          if (high / low < 1.05) { low /= 1.05; high *= 1.05; }
          const pad = (high / low) ** 0.05;
          return [low / pad, high * pad];
        }
        if (this.zero) low = Math.min(0, low);
        if (high === low) { const pad = Math.abs(high) * 0.1 || 1; return [this.zero ? low : low - pad, high + pad]; }
        const pad = (high - low) * 0.06;
        return [this.zero && low === 0 ? 0 : low - pad, high + pad];
      }
      draw() {
        const width = Math.max(200, this.svg.clientWidth), height = this.wide ? Math.min(380, Math.max(240, width * 0.42)) : 210;
        const [low, high] = this.range(), rows = this.wide ? 6 : 4;
        const yTicks = (this.log ? logTicks : niceTicks)(low, high, rows), yTexts = tickText(yTicks);
        const left = Math.max(...yTexts.map(t => t.length), 2) * 7 + 12, right = 14, top = 12, bottom = 28;
        const first = Math.min(...steps, ...data.evaluation.step), last = Math.max(...steps, ...data.evaluation.step);
        const span = Math.max(1, last - first), inner = width - left - right;
        this.x = s => left + (s - first) / span * inner;
        this.stepAt = px => first + Math.min(1, Math.max(0, (px - left) / inner)) * span;
        const scale = this.log ? Math.log : v => v, bottomValue = scale(low), heightOfValues = scale(high) - bottomValue;
        this.y = v => height - bottom - (scale(v) - bottomValue) / heightOfValues * (height - top - bottom);
        this.area = { left, right: width - right, top, bottom: height - bottom };
        const svg = this.svg;
        svg.replaceChildren();
        svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
        svg.style.height = height + 'px';
        yTicks.forEach((tick, i) => {
          const y = Math.round(this.y(tick)) + 0.5;
          element('line', { x1: left, x2: width - right, y1: y, y2: y, class: 'grid' }, svg);
          element('text', { x: left - 8, y: y + 4, 'text-anchor': 'end' }, svg, yTexts[i]);
        });
        element('line', { x1: left, x2: width - right, y1: height - bottom + 0.5, y2: height - bottom + 0.5, class: 'axis' }, svg);
        const xTicks = niceTicks(first, last, Math.max(2, Math.floor(inner / 90))).filter(Number.isInteger);
        const xTexts = tickText(xTicks);
        xTicks.forEach((tick, i) => {
          const x = this.x(tick), half = xTexts[i].length * 3.5;
          const anchor = x + half > width - 2 ? 'end' : 'middle';
          element('line', { x1: x, x2: x, y1: height - bottom, y2: height - bottom + 4, class: 'axis' }, svg);
          element('text', { x: anchor === 'end' ? width - 2 : x, y: height - 9, 'text-anchor': anchor }, svg, xTexts[i]);
        });
        const clip = 'clip' + charts.indexOf(this), definition = element('clipPath', { id: clip }, svg);
        element('rect', { x: left, y: top - 6, width: inner + 6, height: height - top - bottom + 6 }, definition);
        const plot = element('g', { 'clip-path': `url(#${clip})` }, svg);
        for (const curve of this.curves) this.drawCurve(curve, plot);
        if (this.marks) for (const step of this.marks)
          element('path', { d: `M${this.x(step)} ${height - bottom}l-4 8h8z`, fill: color('bad') }, svg);
        this.hover = element('g', {}, svg);
      }
      path(xs, ys) {
        let d = '', pen = false;
        xs.forEach((x, i) => {
          if (!finite(ys[i]) || (this.log && ys[i] <= 0)) { pen = false; return; }
          // A point without neighbours shows as a dot.
          d += (pen ? 'L' : 'M') + this.x(x).toFixed(1) + ' ' + this.y(ys[i]).toFixed(1) + (pen ? '' : 'h0');
          pen = true;
        });
        return d;
      }
      drawCurve(curve, plot) {
        const stroke = `var(--${curve.color})`;
        if (curve.kind === 'points') {
          element('path', { d: this.path(curve.x, curve.y), fill: 'none', stroke, 'stroke-width': 1.5, opacity: 0.6 }, plot);
          const radius = curve.x.length > 60 ? 1.8 : 3.2;
          curve.x.forEach((x, i) => {
            if (finite(curve.y[i])) element('circle', { cx: this.x(x), cy: this.y(curve.y[i]), r: radius, fill: stroke }, plot);
          });
          return;
        }
        if (curve.low && curve.low.some((v, i) => v !== curve.high[i])) {
          const usable = curve.x.map((_, i) => i).filter(i => finite(curve.low[i]) && finite(curve.high[i]));
          const there = usable.map(i => `${this.x(curve.x[i]).toFixed(1)} ${this.y(curve.high[i]).toFixed(1)}`);
          const back = usable.reverse().map(i => `${this.x(curve.x[i]).toFixed(1)} ${this.y(curve.low[i]).toFixed(1)}`);
          if (there.length) element('path', { d: 'M' + there.concat(back).join('L') + 'Z', fill: stroke, opacity: 0.3 }, plot);
        }
        element('path', {
          d: this.path(curve.x, curve.y), fill: 'none', stroke, 'stroke-linejoin': 'round', 'stroke-linecap': 'round',
          'stroke-width': curve.kind === 'faint' ? 1 : 2, opacity: curve.kind === 'faint' ? 0.75 : 1,
        }, plot);
      }
      // Shows the values at a step, or the last ones.
      read(step) {
        this.hover.replaceChildren();
        this.curves.forEach((curve, i) => {
          const at = step === null ? curve.x.length - 1 : nearest(curve.x, step);
          const v = at < 0 ? null : curve.y[at];
          this.readouts[i].textContent = finite(v) ? (curve.text || (v => brief(v, 4)))(v) : '–';
          if (step !== null && finite(v) && (!this.log || v > 0)) element('circle', {
            cx: this.x(curve.x[at]), cy: Math.max(this.area.top, this.y(v)), r: 4, fill: `var(--${curve.color})`,
            stroke: 'var(--card)', 'stroke-width': 1.5,
          }, this.hover);
        });
        if (step === null) return;
        const shown = steps[nearest(steps, step)], x = this.x(shown), text = 'step ' + whole(shown);
        const wide = text.length * 6.6 + 14;
        const from = Math.min(this.area.right + 14 - wide, Math.max(this.area.left, x - wide / 2));
        this.hover.prepend(element('line', { x1: x, x2: x, y1: this.area.top, y2: this.area.bottom, class: 'rule' }));
        const badge = element('g', { class: 'badge' }, this.hover);
        element('rect', { x: from, y: this.area.bottom + 4, width: wide, height: 20, rx: 5 }, badge);
        element('text', { x: from + wide / 2, y: this.area.bottom + 18, 'text-anchor': 'middle' }, badge, text);
      }
    }
    function nearest(xs, x) {
      let low = 0, high = xs.length - 1;
      while (low < high) { const mid = (low + high) >> 1; if (xs[mid] < x) low = mid + 1; else high = mid; }
      return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
    }
    let lastTouched = 0;
    function read(step) { lastTouched = Date.now(); for (const chart of charts) chart.read(step); }

    // Rows of layers, columns of steps; the darker, the larger the norm, on a logarithmic scale.
    class HeatMap {
      constructor(layers) {
        this.layers = layers;
        this.figure = html('figure', document.getElementById('charts'), undefined, 'wide');
        const caption = html('figcaption', this.figure);
        html('b', caption, 'Gradient norm by layer');
        this.readout = html('span', caption, 'first layer at the top; colour by the logarithm', 'key');
        this.svg = element('svg', { role: 'img', 'aria-label': 'Gradient norm of each layer by step' }, this.figure);
      }
      draw() {
        const { names, step, norms } = this.layers, width = Math.max(200, this.svg.clientWidth);
        const row = Math.max(8, Math.min(20, 320 / names.length)), height = names.length * row + 30;
        const longest = Math.min(22, Math.max(...names.map(n => n.length)));
        const left = row >= 11 ? Math.min(width * 0.35, longest * 7 + 12) : 12, inner = width - left - 14;
        const values = norms.flat().filter(v => finite(v) && v > 0).map(Math.log);
        const low = Math.min(...values), span = Math.max(...values) - low || 1;
        this.svg.replaceChildren();
        this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
        this.svg.style.height = height + 'px';
        const cell = inner / step.length;
        names.forEach((name, r) => {
          if (row >= 11) element('text', { x: left - 8, y: r * row + row / 2 + 4, 'text-anchor': 'end' }, this.svg,
            name.length > 22 ? '…' + name.slice(-21) : name);
          step.forEach((s, c) => {
            const v = norms[c][r];
            const box = element('rect', {
              x: left + c * cell, y: r * row, width: cell + 0.5, height: row - 1,
              fill: finite(v) ? 'var(--norm)' : 'var(--bad)',
              opacity: finite(v) && v > 0 ? 0.08 + 0.92 * (Math.log(v) - low) / span : 1,
            }, this.svg);
            box.addEventListener('pointerenter', () => {
              this.readout.textContent = `step ${whole(s)}, ${name}: ${finite(v) ? brief(v, 4) : 'not finite'}`;
            });
          });
        });
        for (const f of [0, 0.5, 1]) {
          const c = Math.round(f * (step.length - 1));
          if (f > 0 && step.length < 3) continue;
          element('text', { x: left + f * inner, y: height - 8, 'text-anchor': ['start', 'middle', 'end'][f * 2] },
            this.svg, whole(step[c]));
        }
      }
      read() {}
    }

    if (steps.length) {
      const loss = v => v.toFixed(4);
      const curves = [
        { name: 'training', color: 'raw', x: steps, y: series.loss, low: series.low, high: series.high, kind: 'faint', text: loss },
        { name: 'smoothed', color: 'train', x: steps, y: series.smoothed, kind: 'line', text: loss },
      ];
      if (data.evaluation.step.length) curves.push({
        name: 'validation', color: 'validation', x: data.evaluation.step, y: data.evaluation.loss, kind: 'points', text: loss,
      });
      charts.push(new Chart({ title: 'Loss', unit: 'nats per token', wide: true, toggle: true, curves, marks: data.skipped }));
      const single = (title, unit, color, y, options) => {
        if (y.some(finite)) charts.push(new Chart({ title, unit, curves: [{ name: title, color, x: steps, y, kind: 'line' }], ...options }));
      };
      const norms = series.gradientNorm.filter(v => finite(v) && v > 0);
      const wild = norms.length > 0 && Math.max(...norms) / Math.min(...norms) > 20;
      single('Learning rate', '', 'rate', series.learningRate, { zero: true });
      single('Gradient norm', 'before clipping', 'norm', series.gradientNorm, { toggle: true, log: wild, zero: true });
      single('Throughput', 'tokens per second', 'speed', series.tokensPerSecond, { zero: true });
      single('Model FLOP/s', '% of the measured peak', 'mfu', series.mfu, { zero: true });
      if (data.layers && data.layers.step.length) charts.push(new HeatMap(data.layers));
      // A chart without a neighbour takes the whole row.
      const narrow = charts.filter(c => !c.wide && c instanceof Chart);
      if (narrow.length % 2 === 1) narrow[narrow.length - 1].figure.classList.add('wide');
      const drawAll = () => { for (const chart of charts) { chart.draw(); chart.read(null); } };
      let width = 0;
      new ResizeObserver(() => {
        const now = document.getElementById('charts').clientWidth;
        if (now !== width) { width = now; drawAll(); }
      }).observe(document.getElementById('charts'));
    }
    document.getElementById('updated').textContent = new Date(data.updated * 1000).toLocaleString();
    // While the run goes on, fresh curves come by themselves, unless somebody is reading.
    if (data.running) setInterval(() => {
      if (Date.now() - lastTouched > 10000 && !document.hidden && !getSelection().toString()) location.reload();
    }, 15000);
    """#
}
