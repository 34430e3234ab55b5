// The page's dashboard: /metrics once a second, and what changed between two readings.

extension Page {
  static let dashboard = #"""
    const readings = [], kept = 300;
    // Prometheus' text: sums over labels, and the ranges of histograms by their upper ends.
    function parse(text) {
      const values = {}, ranges = {}, bottlenecks = [];
      for (const line of text.split('\n')) {
        const found = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
        if (!found) continue;
        const [, name, labels, value] = found, end = /le="([^"]*)"/.exec(labels || '');
        if (name === 'tachornis:bottleneck' && Number(value)) bottlenecks.push(/kind="([^"]*)"/.exec(labels)[1].replaceAll('_', ' '));
        if (end) {
          const key = name.replace(/_bucket$/, '');
          (ranges[key] ||= []).push([end[1] === '+Inf' ? Infinity : Number(end[1]), Number(value)]);
        } else values[name] = (values[name] || 0) + Number(value);
      }
      return { time: performance.now() / 1000, values, ranges, bottlenecks };
    }
    // The value below which the share `p` lies of what came between two readings.
    function percentile(now, before, name, p) {
      const ends = now.ranges[name], old = before && before.ranges[name];
      if (!ends) return NaN;
      const counts = ends.map(([, count], i) => count - (old ? old[i][1] : 0)), all = counts[counts.length - 1];
      if (!(all > 0)) return NaN;
      const i = counts.findIndex(count => count >= p * all), low = i ? ends[i - 1][0] : 0, high = ends[i][0];
      if (high === Infinity) return low;
      const below = i ? counts[i - 1] : 0;
      return low + (high - low) * (p * all - below) / Math.max(1e-9, counts[i] - below);
    }
    function figures() {
      const now = readings[readings.length - 1], before = readings[readings.length - 2];
      const minute = readings.find(point => now.time - point.time <= 60) || before;
      const rate = (name, from = before) => from ? (now.values[name] - from.values[name]) / (now.time - from.time) : NaN;
      const hits = now.values['vllm:prefix_cache_hits_total'] - (minute ? minute.values['vllm:prefix_cache_hits_total'] : 0);
      const looked = now.values['vllm:prefix_cache_queries_total'] - (minute ? minute.values['vllm:prefix_cache_queries_total'] : 0);
      const steps = rate('tachornis:engine_steps_total');
      return {
        written: rate('vllm:generation_tokens_total'), read: rate('vllm:prompt_tokens_total'),
        running: now.values['vllm:num_requests_running'], waiting: now.values['vllm:num_requests_waiting'],
        cache: 100 * now.values['vllm:kv_cache_usage_perc'], hits: looked > 0 ? 100 * hits / looked : NaN,
        batch: steps > 0 ? rate('vllm:generation_tokens_total') / steps : NaN,
        first: [0.5, 0.99].map(p => percentile(now, minute, 'vllm:time_to_first_token_seconds', p)),
        token: [0.5, 0.99].map(p => percentile(now, minute, 'vllm:request_time_per_output_token_seconds', p)),
      };
    }
    const charts = [
      ['Throughput', 'tokens/s', [['written', 'a', f => f.written], ['read', 'b', f => f.read]], brief],
      ['First token', '', [['median', 'a', f => f.first[0]], ['99 %', 'b', f => f.first[1]]], duration],
      ['Requests', '', [['running', 'c', f => f.running], ['waiting', 'b', f => f.waiting], ['texts a step', 'd', f => f.batch]], brief],
      ['Cache', '%', [['in use', 'c', f => f.cache], ['prompts found', 'd', f => f.hits]], brief],
    ].map(([title, unit, curves, text]) => {
      const figure = make('figure', at('charts')), caption = make('figcaption', figure);
      make('b', caption, '', title + (unit ? ', ' + unit : ''));
      const readouts = curves.map(([name, color]) => {
        const key = make('span', caption);
        make('i', key).style.background = `var(--${color})`;
        key.append(name + ' ');
        return make('span', key);
      });
      const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
      svg.setAttribute('role', 'img');
      svg.setAttribute('aria-label', title);
      figure.append(svg);
      return { curves, text, readouts, svg };
    });
    // 1, 2 or 5 times a power of ten, at least `v`.
    function nice(v) {
      const power = 10 ** Math.floor(Math.log10(v));
      return [1, 2, 5, 10].map(m => m * power).find(top => top >= v * 0.999);
    }
    function draw(chart, now) {
      const width = chart.svg.clientWidth || 500, height = 190, left = 58, right = 8, top = 10, bottom = 22, span = 120;
      const points = readings.filter(point => now.time - point.time <= span && point.figures);
      const most = Math.max(...points.flatMap(point => chart.curves.map(([, , get]) => get(point.figures))).filter(Number.isFinite), 0);
      const high = most > 0 ? nice(most) : 1;
      const x = time => width - right - (now.time - time) / span * (width - left - right);
      const y = value => height - bottom - value / high * (height - top - bottom);
      const add = (name, attributes, text) => {
        const node = document.createElementNS('http://www.w3.org/2000/svg', name);
        for (const key in attributes) node.setAttribute(key, attributes[key]);
        if (text !== undefined) node.textContent = text;
        chart.svg.append(node);
      };
      chart.svg.replaceChildren();
      chart.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
      for (const share of [0, 0.5, 1]) {
        add('line', { x1: left, x2: width - right, y1: y(share * high), y2: y(share * high), class: 'grid' });
        add('text', { x: left - 6, y: y(share * high) + 4, 'text-anchor': 'end' }, share ? chart.text(share * high) : '0');
      }
      for (const ago of [120, 60, 0]) add('text', {
        x: x(now.time - ago), y: height - 5, 'text-anchor': ago === 120 ? 'start' : ago ? 'middle' : 'end',
      }, ago ? `${ago} s ago` : 'now');
      chart.curves.forEach(([, color, get], i) => {
        let d = '', pen = false;
        for (const point of points) {
          const value = get(point.figures);
          if (!Number.isFinite(value)) { pen = false; continue; }
          d += (pen ? 'L' : 'M') + x(point.time).toFixed(1) + ' ' + y(value).toFixed(1) + (pen ? '' : 'h0');
          pen = true;
        }
        add('path', { d, fill: 'none', stroke: `var(--${color})`, 'stroke-width': 2, 'stroke-linejoin': 'round', 'stroke-linecap': 'round' });
        chart.readouts[i].textContent = chart.text(get(now.figures));
      });
    }
    function tiles(f) {
      const list = [
        ['Written', brief(f.written), 'tokens/s'], ['Read', brief(f.read), 'tokens/s'],
        ['First token', duration(f.first[0]), '99 %: ' + duration(f.first[1])],
        ['Between tokens', duration(f.token[0]), '99 %: ' + duration(f.token[1])],
        ['Requests', brief(f.running), brief(f.waiting) + ' waiting'],
        ['Cache', brief(f.cache) + ' %', 'found: ' + (Number.isFinite(f.hits) ? brief(f.hits) + ' %' : '–')],
      ];
      at('tiles').replaceChildren(...list.map(([name, value, note]) => {
        const tile = make('div', null, 'tile');
        make('dt', tile, '', name); make('dd', tile, '', value); make('small', tile, '', note);
        return tile;
      }));
    }
    async function poll() {
      if (document.hidden || at('dashboard').hidden) return;
      try {
        const reply = await fetch('metrics', { headers: headers() });
        if (!reply.ok) return notice((await reply.json()).error.message);
        readings.push(parse(await reply.text()));
        if (readings.length > kept) readings.shift();
        const now = readings[readings.length - 1];
        now.figures = figures();
        notice(now.bottlenecks.length ? 'Held up: ' + now.bottlenecks.join(', ') + '.' : '');
        tiles(now.figures);
        for (const chart of charts) draw(chart, now);
      } catch (error) { notice('The server cannot be reached.'); }
    }
    function view(name) {
      for (const id of ['chat', 'dashboard']) {
        at(id).hidden = id !== name;
        at('show-' + id).className = id === name ? 'on' : '';
      }
      poll();
    }
    at('show-chat').onclick = () => { location.hash = ''; };
    at('show-dashboard').onclick = () => { location.hash = 'dashboard'; };
    window.onhashchange = () => view(location.hash === '#dashboard' ? 'dashboard' : 'chat');
    window.onhashchange();
    setInterval(poll, 1000);
    """#
}
