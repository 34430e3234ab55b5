// The page's conversation: messages go to /v1/chat/completions or /v1/completions and come back as they are written.

extension Page {
  /// What both views use.
  static let shared = #"""
    const at = id => document.getElementById(id);
    function make(name, parent, className, text) {
      const node = document.createElement(name);
      if (className) node.className = className;
      if (text !== undefined) node.textContent = text;
      if (parent) parent.appendChild(node);
      return node;
    }
    function notice(text) { at('notice').hidden = !text; at('notice').textContent = text || ''; }
    function headers() {
      const key = at('key').value.trim();
      return key ? { authorization: 'Bearer ' + key } : {};
    }
    // Three significant digits.
    const brief = v => !Number.isFinite(v) ? '–' : v === 0 ? '0' : v >= 999.5 ? Math.round(v).toLocaleString('en')
      : String(Number(v.toPrecision(3)));
    const duration = s => !Number.isFinite(s) ? '–' : s < 1 ? brief(s * 1000) + ' ms' : brief(s) + ' s';
    const numbers = ['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty', 'max_tokens'];
    for (const id of ['key', 'system', ...numbers, 'stop']) {
      // The key only as long as this window is open.
      const store = id === 'key' ? sessionStorage : localStorage, kept = store.getItem('tachornis.' + id);
      if (kept !== null) at(id).value = kept;
      at(id).addEventListener('change', () => store.setItem('tachornis.' + id, at(id).value));
    }
    let context = 0;
    async function hello() {
      try {
        const reply = await fetch('v1/models', { headers: headers() });
        if (reply.status === 401) return notice('This server needs a key: put it under "Key".');
        const model = (await reply.json()).data[0];
        context = model.max_model_len;
        at('model').textContent = document.title = model.id;
        notice();
      } catch (error) { notice('The server cannot be reached.'); }
    }
    at('key').addEventListener('change', hello);
    """#

  static let chat = #"""
    let messages = [], running = null;
    const isText = () => at('kind').value === 'text';

    // Shows text with blocks of code set apart; nothing in it is ever read as HTML.
    function show(node, text) {
      node.replaceChildren();
      text.split(/^```[^\n]*\n?/m).forEach((part, i) => {
        if (i % 2) make('pre', node, '', part.replace(/\n$/, '')); else if (part) node.append(part);
      });
    }
    function bubble(role, text) {
      const message = make('div', at('messages'), 'message ' + role);
      const result = { message, text: make('div', message, 'text') };
      show(result.text, text);
      result.facts = make('div', message, 'facts');
      at('messages').scrollTop = at('messages').scrollHeight;
      return result;
    }
    function parameters() {
      const body = {};
      for (const id of [...numbers, 'seed'])
        if (at(id).value !== '') body[id] = Number(at(id).value);
      if (at('stop').value) body.stop = at('stop').value;
      return body;
    }
    // Calls `each` with every object of a stream of events.
    async function read(response, each) {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        rest += value;
        const events = rest.split('\n\n');
        rest = events.pop();
        for (const event of events) {
          const data = event.replace(/^data: /, '');
          if (data === '[DONE]') return;
          const object = JSON.parse(data);
          if (object.error) throw new Error(object.error.message);
          each(object);
        }
      }
    }
    async function answer() {
      const text = isText(), body = { ...parameters(), stream: true, stream_options: { include_usage: true } };
      if (text) {
        body.prompt = messages.map(m => m.content).join('');
        // The API's own default is 16.
        body.max_tokens ??= Math.max(1, Math.min(256, context >> 1));
      }
      else body.messages = (at('system').value ? [{ role: 'system', content: at('system').value }] : []).concat(messages);
      const begun = performance.now(), reply = bubble('assistant', '');
      let written = '', thought = '', first = 0, usage, thinking;
      running = new AbortController();
      at('send').textContent = 'Stop';
      try {
        const response = await fetch(text ? 'v1/completions' : 'v1/chat/completions', {
          method: 'POST', headers: { 'content-type': 'application/json', ...headers() }, body: JSON.stringify(body),
          signal: running.signal,
        });
        if (!response.ok) {
          const { error } = await response.json();
          // A model without a template writes on.
          if (error.code === 'no_chat_template') { at('kind').value = 'text'; kind(); reply.message.remove(); return await answer(); }
          throw new Error(error.message);
        }
        await read(response, chunk => {
          if (chunk.usage) usage = chunk.usage;
          const choice = chunk.choices[0];
          if (!choice) return;
          const piece = text ? choice.text : choice.delta.content, reason = choice.delta?.reasoning_content;
          if ((piece || reason) && !first) first = performance.now();
          if (reason) {
            thought += reason;
            if (!thinking) {
              const details = make('details');
              reply.message.prepend(details);
              make('summary', details, '', 'Reasoning');
              thinking = make('span', details);
            }
            thinking.textContent = thought;
          }
          if (!piece) return;
          const list = at('messages'), follow = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
          written += piece;
          show(reply.text, written);
          if (follow) list.scrollTop = list.scrollHeight;
        });
        notice();
      } catch (error) {
        if (error.name !== 'AbortError') notice(error.message);
      }
      running = null;
      at('send').textContent = 'Send';
      messages.push({ role: 'assistant', content: written });
      const seconds = (performance.now() - (first || begun)) / 1000, facts = [];
      if (first) facts.push('first token after ' + duration((first - begun) / 1000));
      if (usage) {
        const cached = usage.prompt_tokens_details?.cached_tokens;
        facts.push(`${usage.prompt_tokens} tokens read` + (cached ? `, ${cached} of them cached` : ''));
        facts.push(`${usage.completion_tokens} written`);
        if (usage.completion_tokens > 1 && first) facts.push(brief((usage.completion_tokens - 1) / seconds) + ' tokens/s');
      }
      reply.facts.textContent = facts.join(' · ');
      if (!written && !thought) { reply.message.remove(); messages.pop(); }
    }
    function kind() { at('system-label').hidden = isText(); }
    function fresh() {
      if (running) running.abort();
      messages = [];
      at('messages').replaceChildren();
      at('prompt').focus();
    }
    at('kind').onchange = () => { kind(); fresh(); };
    at('fresh').onclick = fresh;
    at('ask').onsubmit = event => {
      event.preventDefault();
      if (running) return running.abort();
      const text = at('prompt').value;
      if (!text.trim()) return;
      at('prompt').value = '';
      fit();
      messages.push({ role: 'user', content: text });
      bubble('user', text);
      answer();
    };
    const fit = () => { const box = at('prompt'); box.style.height = 'auto'; box.style.height = box.scrollHeight + 2 + 'px'; };
    at('prompt').oninput = fit;
    at('prompt').onkeydown = event => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); if (!running) at('ask').requestSubmit(); }
    };
    kind();
    // A link may bring the first message and how to write: /?q=…&temperature=0
    hello().then(() => {
      const link = new URLSearchParams(location.search), asked = link.get('q');
      for (const id of [...numbers, 'seed', 'stop'])
        if (link.has(id)) at(id).value = link.get(id);
      if (asked) { at('prompt').value = asked; at('ask').requestSubmit(); }
    });
    """#
}
