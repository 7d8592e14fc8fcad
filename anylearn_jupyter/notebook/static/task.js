// @ts-check
// The page side of a task's live card. Its kernel side is ../widget.py, which has the protocol.
//
// Everything that comes from a task is a stranger's text: it becomes text nodes (`textContent`)
// and numbers, never markup. No function here parses HTML.
//
// A `Store` holds what the page knows of a task, one for each model; a `View` draws it, one for
// each place where the card is shown. The log is a list of rows of equal height of which only those
// in sight exist; lines that are missing there are asked for by number.

const ROW = 18; // pixels; the same in task.css
const MAX_ROWS = 12; // rows of the log in sight, at most, until the reader makes it taller
const KEPT = 100000; // lines that a page keeps
const AROUND = 400; // lines that are asked for beside those in sight
const ANSWER_MS = 5000; // after which a question is asked again
const BUSY_MS = 2000; // after which a kernel that does not answer is called busy
const SURE_MS = 4000; // how long "Really stop?" stands
const COLORS = ['#2f7ed8', '#e0762b', '#2a9d5c', '#b04fc4', '#c9a227', '#d64550'];
const PREFIXES = ['train', 'training', 'val', 'valid', 'validation', 'test', 'eval', 'dev'];
const MAX_PANELS = 12;
const SVG = 'http://www.w3.org/2000/svg';

// ---------------------------------------------------------------- words

/** Make an element with a class and a text. */
function make(name, className = '', text = '') {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function draw(name, attributes, text = '') {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text) element.textContent = text;
  return element;
}

function count(number, word) {
  return `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;
}

function numberText(value) {
  const size = Math.abs(value);
  if (value !== 0 && (size >= 1e6 || size < 1e-4)) {
    return value.toExponential(2).replace('e+', 'e');
  }
  return size < 1e4 ? String(Number(value.toPrecision(4))) : value.toFixed(0);
}

function durationText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function clockText(ms) {
  const moment = new Date(ms);
  const time = moment.toLocaleTimeString('en-GB');
  if (moment.toDateString() === new Date().toDateString()) return time;
  const day = { day: 'numeric', month: 'short', year: 'numeric' };
  return `${moment.toLocaleDateString('en-GB', /** @type {any} */ (day))}, ${time.slice(0, 5)}`;
}

// ---------------------------------------------------------------- colours of a log (SGR)

const PLAIN = Object.freeze({
  color: '', background: '', bold: false, dim: false, italic: false, underline: false,
  strike: false, inverse: false,
});

const SWITCHES = {
  1: { bold: true }, 2: { dim: true }, 3: { italic: true }, 4: { underline: true },
  7: { inverse: true }, 9: { strike: true }, 21: { underline: true },
  22: { bold: false, dim: false }, 23: { italic: false }, 24: { underline: false },
  27: { inverse: false }, 29: { strike: false }, 39: { color: '' }, 49: { background: '' },
};

function styleAfter(style, parameters) {
  const numbers = parameters.split(/[;:]/).slice(0, 32).map((n) => Number(n.slice(0, 4)) || 0);
  let now = style;
  for (let at = 0; at < numbers.length; at++) {
    const n = numbers[at];
    if (n === 38 || n === 48) {
      const key = n === 38 ? 'color' : 'background';
      if (numbers[at + 1] === 5) {
        if (numbers[at + 2] <= 255) now = { ...now, [key]: String(numbers[at + 2]) };
        at += 2;
      } else if (numbers[at + 1] === 2) {
        const rgb = numbers.slice(at + 2, at + 5);
        if (rgb.length === 3 && Math.max(...rgb) <= 255) now = { ...now, [key]: `rgb(${rgb})` };
        at += 4;
      } else {
        break;
      }
    } else if (n === 0) {
      now = PLAIN;
    } else if (SWITCHES[n]) {
      now = { ...now, ...SWITCHES[n] };
    } else if ((n >= 30 && n <= 37) || (n >= 90 && n <= 97)) {
      now = { ...now, color: String(n < 90 ? n - 30 : n - 82) };
    } else if ((n >= 40 && n <= 47) || (n >= 100 && n <= 107)) {
      now = { ...now, background: String(n < 100 ? n - 40 : n - 92) };
    }
  }
  return now;
}

function cssColor(color) {
  if (!/^\d+$/.test(color)) return color; // rgb(…), made above from numbers
  const number = Number(color);
  if (number < 16) return `var(--anl-ansi-${number})`;
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232))})`;
  const steps = [0, 95, 135, 175, 215, 255];
  const n = number - 16;
  return `rgb(${[steps[Math.floor(n / 36)], steps[Math.floor(n / 6) % 6], steps[n % 6]]})`;
}

/** Put a line into an element as text in coloured spans. */
function writeLine(element, line) {
  element.textContent = '';
  if (!line.includes('\x1b')) {
    element.textContent = line;
    return;
  }
  const pieces = line.split(/\x1b\[([0-9;:]*)m/);
  let style = PLAIN;
  for (let at = 0; at < pieces.length; at += 2) {
    if (at > 0 && at < 800) style = styleAfter(style, pieces[at - 1]);
    if (!pieces[at]) continue;
    const span = make('span', '', pieces[at].replaceAll('\x1b', ''));
    const ink = style.inverse ? style.background || 'var(--anl-ground)' : style.color;
    const ground = style.inverse ? style.color || 'var(--anl-ink)' : style.background;
    if (ink) span.style.color = ink.startsWith('var') ? ink : cssColor(ink);
    if (ground) span.style.backgroundColor = ground.startsWith('var') ? ground : cssColor(ground);
    if (style.bold) span.style.fontWeight = '600';
    if (style.dim) span.style.opacity = '0.7';
    if (style.italic) span.style.fontStyle = 'italic';
    const lines = [style.underline && 'underline', style.strike && 'line-through'];
    if (lines.some(Boolean)) span.style.textDecoration = lines.filter(Boolean).join(' ');
    element.append(span);
  }
}

// ---------------------------------------------------------------- what the page knows

class Store {
  constructor(model) {
    this.model = model;
    this.lines = new Map();
    this.total = 0; // finished lines there are
    this.held = 0; // the oldest that the kernel has
    this.oldest = 0; // the oldest that this page keeps
    this.open = '';
    this.series = new Map();
    this.progress = null;
    this.seq = 0;
    this.skew = 0; // this clock minus the kernel's
    this.notice = '';
    this.stopping = '';
    this.dead = false;
    this.retired = false;
    this.askedAt = 0;
    this.linesAskedAt = 0;
    this.listeners = new Set();
    model.on('msg:custom', (message) => this.take(message));
    model.on('change:state', () => this.stateChanged());
    model.on('change:header', () => this.tell());
    model.on('comm_live_update', () => this.checkAlive());
    this.hello();
  }

  get state() {
    return this.model.get('state') || {};
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  send(message) {
    if (this.dead) return false;
    try {
      this.model.send(message);
      return true;
    } catch (error) {
      this.die();
      return false;
    }
  }

  /** The way to the kernel has changed: it was restarted or has ended, or is there again. */
  checkAlive() {
    this.askedAt = 0;
    this.hello();
  }

  die() {
    this.dead = true;
    this.stopping = '';
    this.tell();
  }

  hello() {
    if (Date.now() - this.askedAt < ANSWER_MS) return;
    this.askedAt = Date.now();
    this.send({ k: 'hello' });
  }

  take(message) {
    if (message.k === 'news') this.takeNews(message);
    else if (message.k === 'lines') this.takeAnswer(message);
    else if (message.k === 'notice') {
      this.notice = message.text;
      this.stopping = '';
    } else if (message.k === 'stopping') this.stopping = 'told';
    else if (message.k === 'retired') this.retired = true;
    this.tell();
  }

  takeNews(message) {
    this.skew = Date.now() - message.now_ms;
    if (message.begin) {
      this.askedAt = 0;
      this.series.clear();
      this.retired = false;
    } else if (message.seq !== this.seq + 1) {
      this.hello(); // something was lost on the way
    }
    this.seq = message.seq;
    this.progress = message.progress;
    if (message.log) this.takeLog(message.log);
    for (const part of message.points) this.takePoints(part);
  }

  takeAnswer(message) {
    this.linesAskedAt = 0;
    this.takeLog(message.log);
  }

  takeLog(log) {
    if (log.count) {
      const lines = log.text.split('\n');
      for (let at = 0; at < log.count; at++) this.lines.set(log.first + at, lines[at]);
    }
    this.total = log.total;
    this.held = log.held;
    this.open = log.open;
    const oldest = Math.max(this.held, this.total - KEPT);
    if (oldest > this.oldest) {
      if (oldest - this.oldest < 4 * this.lines.size) {
        for (let at = this.oldest; at < oldest; at++) this.lines.delete(at);
      } else {
        for (const at of this.lines.keys()) if (at < oldest) this.lines.delete(at);
      }
      this.oldest = oldest;
    }
  }

  takePoints(part) {
    let one = this.series.get(part.name);
    if (!one) {
      one = { name: part.name, points: [], last: null };
      this.series.set(part.name, one);
    }
    if (part.start <= one.points.length) one.points.length = part.start;
    for (const point of part.points) one.points.push(point);
    one.last = part.last;
  }

  /** Ask for lines that are in sight and missing, a good deal around them too. */
  want(first, end) {
    if (Date.now() - this.linesAskedAt < ANSWER_MS) return;
    this.linesAskedAt = Date.now();
    const from = Math.max(this.oldest, first - AROUND);
    this.send({ k: 'lines', first: from, end: Math.min(this.total, end + AROUND) });
  }

  stop() {
    this.stopping = 'asked';
    this.notice = '';
    if (!this.send({ k: 'stop' })) return;
    setTimeout(() => {
      if (this.stopping !== 'asked') return;
      this.notice =
        'The kernel is busy: the task is stopped when the running cell ends. In another notebook, ' +
        `%anylearn_stop ${this.model.get('task_id')} stops it now.`;
      this.tell();
    }, BUSY_MS);
    this.tell();
  }

  stateChanged() {
    if (this.state.finished) {
      this.stopping = '';
      this.notice = '';
    }
    this.tell();
  }
}

// ---------------------------------------------------------------- the log

class LogPane {
  constructor(store) {
    this.store = store;
    this.rows = new Map(); // line number to element
    this.follows = true;
    this.top = 0; // the number of the line in the first row
    this.element = make('div', 'anl-log');
    this.element.tabIndex = 0;
    this.element.setAttribute('role', 'log');
    this.element.setAttribute('aria-live', 'off'); // a training talks more than one can listen
    this.element.setAttribute('aria-label', 'Log of the task');
    this.space = make('div', 'anl-log-space');
    this.sheet = make('div', 'anl-log-sheet');
    this.space.append(this.sheet);
    this.element.append(this.space);
    this.element.addEventListener('scroll', () => this.scrolled());
    this.onFollow = () => {};
  }

  get shown() {
    const { oldest, total, open } = this.store;
    return total - oldest + (open ? 1 : 0);
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    const follows = scrollTop + clientHeight >= scrollHeight - ROW;
    // A height that changed scrolls too: only the reader's own movement upwards ends following.
    if (follows !== this.follows && (follows || scrollTop < this.lastTop)) {
      this.follows = follows;
      this.onFollow();
    }
    this.lastTop = scrollTop;
    this.paint();
  }

  follow(on) {
    this.follows = on;
    this.onFollow();
    this.update();
  }

  /** Take what the store has, and keep the lines that one reads where they are. */
  update() {
    const { oldest } = this.store;
    const gone = oldest - this.top;
    this.top = oldest;
    const height = Math.max(this.shown, 1) * ROW;
    this.space.style.height = `${height}px`;
    const rows = Math.min(Math.max(this.shown, 3), MAX_ROWS);
    this.element.style.setProperty('--anl-rows', String(rows));
    if (this.follows) this.element.scrollTop = height;
    else if (gone > 0) this.element.scrollTop -= gone * ROW;
    this.lastTop = this.element.scrollTop;
    this.paint();
  }

  /** Have an element for each row in sight, and for no other. */
  paint() {
    const { store, top, rows } = this;
    const height = this.element.clientHeight || MAX_ROWS * ROW;
    const first = Math.max(top, top + Math.floor(this.element.scrollTop / ROW) - 10);
    const end = Math.min(top + this.shown, first + Math.ceil(height / ROW) + 21);
    for (const [number, row] of rows) {
      if (number < first || number >= end) {
        row.remove();
        rows.delete(number);
      }
    }
    let missing = -1;
    for (let number = first; number < end; number++) {
      const isOpen = number === store.total;
      const text = isOpen ? store.open : store.lines.get(number);
      if (text === undefined && missing < 0) missing = number;
      this.row(number, text === undefined ? '…' : text, isOpen);
    }
    if (missing >= 0) store.want(missing, end);
  }

  row(number, text, isOpen) {
    let row = this.rows.get(number);
    if (!row) {
      row = make('div', 'anl-line');
      this.rows.set(number, row);
      this.sheet.append(row);
    }
    row.style.top = `${(number - this.top) * ROW}px`;
    if (row.anlText !== text) {
      row.anlText = text;
      writeLine(row, text);
    }
    row.classList.toggle('anl-open', isOpen);
  }
}

// ---------------------------------------------------------------- curves

function baseName(name) {
  for (const mark of ['/', '_', '.', '-']) {
    const at = name.indexOf(mark);
    if (at > 0 && at < name.length - 1 && PREFIXES.includes(name.slice(0, at).toLowerCase())) {
      return name.slice(at + 1);
    }
  }
  return name;
}

function panelsOf(series) {
  const found = new Map();
  for (const one of series.values()) {
    const { points, last } = one;
    const end = points[points.length - 1];
    const all = last && end && last[0] !== end[0] ? [...points, last] : points;
    if (all.length < 2) continue;
    const title = baseName(one.name);
    if (!found.has(title)) found.set(title, []);
    found.get(title).push({ name: one.name, points: all });
  }
  return [...found].map(([title, lines]) => ({ title, lines: lines.slice(0, COLORS.length) }));
}

function ticksOf(low, high, wanted) {
  const rough = (0.75 * (high - low)) / wanted;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const width = [1, 2, 5, 10].map((n) => n * magnitude).find((n) => n >= rough) ?? rough;
  const ticks = [];
  for (let n = Math.ceil(low / width); n * width <= high + width * 1e-9; n++) {
    ticks.push(n * width);
    if (ticks.length > 2 * wanted) break;
  }
  return ticks;
}

function rangeOf(numbers) {
  let low = Infinity;
  let high = -Infinity;
  for (const number of numbers) {
    if (number < low) low = number;
    if (number > high) high = number;
  }
  if (high - low <= Math.max(Math.abs(low), Math.abs(high)) * 1e-12 + 1e-290) {
    const margin = Math.abs(low) > 1e-280 ? Math.abs(low) * 0.1 : 1;
    return [low - margin, high + margin];
  }
  return [low, high];
}

/** Leave some air above and below a curve. */
function wider([low, high]) {
  const air = (high - low) * 0.04;
  return [low - air, high + air];
}

/** One chart; it is drawn anew with each news, which is cheap at these sizes. */
class Chart {
  constructor(title) {
    this.title = title;
    this.element = make('figure', 'anl-chart');
    this.legend = make('figcaption', 'anl-legend');
    this.picture = draw('svg', { viewBox: '0 0 340 170', role: 'img' });
    this.element.append(this.legend, this.picture);
    this.picture.addEventListener('pointermove', (event) => this.point(event));
    this.picture.addEventListener('pointerleave', () => this.point(null));
  }

  update(lines) {
    this.lines = lines;
    const [left, right, top, bottom] = [48, 332, 8, 138];
    const bounded = (n) => Math.max(-1e300, Math.min(n, 1e300));
    const xs = rangeOf(lines.flatMap((one) => one.points.map((p) => bounded(p[0]))));
    const ys = wider(rangeOf(lines.flatMap((one) => one.points.map((p) => bounded(p[1])))));
    this.x = (n) => left + ((bounded(n) - xs[0]) / (xs[1] - xs[0])) * (right - left);
    this.y = (n) => bottom - ((bounded(n) - ys[0]) / (ys[1] - ys[0])) * (bottom - top);
    const parts = [];
    for (const tick of ticksOf(ys[0], ys[1], 4)) {
      const y = this.y(tick).toFixed(1);
      parts.push(draw('path', { d: `M${left} ${y}H${right}`, class: 'anl-grid' }));
      const at = { x: left - 6, y: Number(y) + 4, 'text-anchor': 'end' };
      parts.push(draw('text', at, numberText(tick)));
    }
    for (const tick of ticksOf(xs[0], xs[1], 5)) {
      const x = this.x(tick);
      const at = { x: x.toFixed(1), y: bottom + 14, 'text-anchor': x > right - 12 ? 'end' : 'middle' };
      parts.push(draw('text', at, numberText(tick)));
    }
    parts.push(draw('path', { d: `M${left} ${top}V${bottom}H${right}`, class: 'anl-axis' }));
    const middle = { x: (left + right) / 2, y: bottom + 29, 'text-anchor': 'middle' };
    parts.push(draw('text', middle, 'step'));
    lines.forEach((one, number) => {
      const points = one.points.map((p) => `${this.x(p[0]).toFixed(1)},${this.y(p[1]).toFixed(1)}`);
      const look = { stroke: COLORS[number], class: 'anl-curve' };
      parts.push(draw('polyline', { points: points.join(' '), ...look }));
    });
    this.cross = draw('path', { class: 'anl-cross', d: '' });
    this.picture.replaceChildren(...parts, this.cross);
    this.picture.setAttribute('aria-label', `${this.title} by step`);
    this.write(null);
  }

  /** Show the values at the pointer's step; the newest ones where there is no pointer. */
  point(event) {
    if (!event || !this.lines) {
      this.write(null);
      return;
    }
    const box = this.picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 340;
    const nearest = this.lines[0].points.reduce((best, p) =>
      Math.abs(this.x(p[0]) - x) < Math.abs(this.x(best[0]) - x) ? p : best,
    );
    this.write(nearest[0]);
  }

  write(step) {
    this.legend.textContent = '';
    this.lines.forEach((one, number) => {
      let point = one.points[one.points.length - 1];
      if (step !== null) {
        point = one.points.reduce((best, p) =>
          Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best,
        );
      }
      const item = make('span', 'anl-legend-item');
      const mark = make('i', 'anl-mark');
      mark.style.backgroundColor = COLORS[number];
      const name = make('span', 'anl-name', one.name);
      name.title = one.name;
      item.append(mark, name, make('b', '', numberText(point[1])));
      this.legend.append(item);
    });
    if (step !== null) this.legend.append(make('span', 'anl-at', `at ${numberText(step)}`));
    this.cross.setAttribute('d', step === null ? '' : `M${this.x(step).toFixed(1)} 8V138`);
  }
}

// ---------------------------------------------------------------- the card

class View {
  constructor(store, root) {
    this.store = store;
    this.root = root;
    this.charts = new Map();
    this.log = new LogPane(store);
    this.queued = 0;
    this.build();
    this.listener = () => this.soon();
    store.listeners.add(this.listener);
    this.clock = setInterval(() => this.writeTimes(), 1000);
    this.hideTwin();
    this.update();
  }

  build() {
    const model = this.store.model;
    this.card = make('section', 'anl-card');
    this.badge = make('span', 'anl-badge');
    this.badge.setAttribute('role', 'status');
    this.name = make('span', 'anl-title');
    this.server = make('span', 'anl-server');
    this.stop = make('button', 'anl-button anl-stop', 'Stop');
    this.stop.addEventListener('click', () => this.stopClicked());
    this.copy = make('button', 'anl-button', 'Copy ID');
    this.copy.addEventListener('click', () => this.copyId());
    for (const button of [this.stop, this.copy]) button.setAttribute('type', 'button');
    const actions = make('div', 'anl-actions');
    actions.append(this.copy, this.stop);
    const top = make('header', 'anl-top');
    top.append(this.badge, this.name, this.server, actions);
    const sub = make('div', 'anl-sub');
    this.times = make('span', 'anl-times');
    sub.append(this.times, make('code', 'anl-id', model.get('task_id')));
    this.notice = make('div', 'anl-notice');
    this.notice.setAttribute('role', 'alert');
    this.cause = make('pre', 'anl-cause');
    this.progress = make('div', 'anl-progress');
    this.progress.setAttribute('role', 'progressbar');
    this.progress.setAttribute('aria-label', 'Progress');
    this.fill = make('div', 'anl-fill');
    const track = make('div', 'anl-track');
    track.append(this.fill);
    this.progressText = make('span', 'anl-faint');
    this.progress.append(track, this.progressText);
    this.facts = make('dl', 'anl-facts');
    this.values = make('div', 'anl-values');
    this.pictures = make('div', 'anl-charts');
    const bar = make('div', 'anl-logbar');
    this.logTitle = make('span', 'anl-faint');
    this.followButton = make('button', 'anl-button anl-small', 'Follow');
    this.followButton.setAttribute('type', 'button');
    this.followButton.title = 'Keep the newest line in sight';
    this.followButton.addEventListener('click', () => this.log.follow(!this.log.follows));
    this.log.onFollow = () =>
      this.followButton.setAttribute('aria-pressed', String(this.log.follows));
    this.log.onFollow();
    bar.append(this.logTitle, this.followButton);
    this.card.append(
      top, sub, this.notice, this.cause, this.progress, this.facts, this.values, this.pictures,
      bar, this.log.element,
    );
    this.root.append(this.card);
  }

  /** Draw with the page's next frame, however much comes until then. */
  soon() {
    if (this.queued) return;
    this.queued = requestAnimationFrame(() => {
      this.queued = 0;
      this.update();
    });
  }

  update() {
    const { store } = this;
    const { state } = store;
    const header = store.model.get('header') || {};
    this.card.dataset.phase = state.phase || '';
    this.card.classList.toggle('anl-dead', store.dead);
    this.card.setAttribute('aria-label', `Task ${header.name}`);
    if (this.badge.textContent !== state.text) this.badge.textContent = state.text || '';
    this.name.textContent = header.name || '';
    this.server.textContent = header.server ? `on ${header.server}` : '';
    this.writeTimes();
    this.writeStop();
    this.writeNotice();
    this.cause.textContent = (state.cause || []).join('\n');
    this.cause.hidden = !(state.cause || []).length;
    this.writeProgress();
    this.writeFacts(header.rows || []);
    this.writeMetrics();
    this.writeLog();
  }

  writeTimes() {
    const { state, skew, dead } = this.store;
    if (dead) return; // what is shown is as old as the last news
    const parts = [];
    if (state.started_ms) {
      const end = state.finished_ms || Date.now() - skew;
      const seconds = (end - state.started_ms) / 1000;
      const said = state.finished_ms ? 'took' : 'running for';
      parts.push(`started ${clockText(state.started_ms + skew)}`);
      if (state.finished_ms || !state.finished) parts.push(`${said} ${durationText(seconds)}`);
    } else if (state.created_ms) {
      parts.push(`submitted ${clockText(state.created_ms + skew)}`);
    }
    this.times.textContent = parts.join(', ');
  }

  writeStop() {
    const { store, stop } = this;
    const { state } = store;
    const stopping = Boolean(store.stopping) || state.phase === 'stopping';
    stop.hidden = Boolean(state.finished);
    stop.disabled = store.dead || stopping || !state.stoppable;
    if (stopping) this.sure(false);
    stop.textContent = stopping ? 'Stopping…' : this.asking ? 'Really stop?' : 'Stop';
    stop.classList.toggle('anl-sure', Boolean(this.asking));
  }

  sure(asking) {
    clearTimeout(this.asking);
    this.asking = asking
      ? setTimeout(() => {
          this.sure(false);
          this.writeStop();
        }, SURE_MS)
      : 0;
  }

  stopClicked() {
    const confirmed = Boolean(this.asking);
    this.sure(!confirmed);
    if (confirmed) this.store.stop();
    this.writeStop();
  }

  writeNotice() {
    const { store } = this;
    const id = store.model.get('task_id');
    let text = store.notice || store.state.trouble || '';
    if (store.dead && !store.state.finished) {
      text = `The kernel of this view has ended; the task has not. %anylearn_resume ${id} shows it.`;
    } else if (store.retired) {
      text = 'A newer view of this task is kept up to date instead of this one.';
    }
    if (this.notice.textContent !== text) this.notice.textContent = text;
    this.notice.hidden = !text;
  }

  writeProgress() {
    const { progress, state } = this.store;
    this.progress.hidden = !progress || Boolean(state.finished);
    if (this.progress.hidden) return;
    const percent = Math.round(progress.share * 100);
    this.fill.style.width = `${progress.share * 100}%`;
    this.progress.setAttribute('aria-valuenow', String(percent));
    this.progress.setAttribute('aria-valuetext', progress.text);
    this.progressText.textContent = progress.text;
  }

  writeFacts(rows) {
    const known = JSON.stringify(rows);
    if (known === this.knownRows) return;
    this.knownRows = known;
    this.facts.textContent = '';
    for (const [label, text] of rows) {
      const value = make('dd', label === 'command' || label === 'parameters' ? 'anl-code' : '', text);
      this.facts.append(make('dt', '', label), value);
    }
    this.facts.hidden = !rows.length;
  }

  writeMetrics() {
    const panels = panelsOf(this.store.series).slice(0, MAX_PANELS);
    const drawn = new Set(panels.flatMap((panel) => panel.lines.map((one) => one.name)));
    for (const [title, chart] of this.charts) {
      if (!panels.some((panel) => panel.title === title)) {
        chart.element.remove();
        this.charts.delete(title);
      }
    }
    for (const panel of panels) {
      let chart = this.charts.get(panel.title);
      if (!chart) {
        chart = new Chart(panel.title);
        this.charts.set(panel.title, chart);
        this.pictures.append(chart.element);
      }
      chart.update(panel.lines);
    }
    this.pictures.hidden = !panels.length;
    this.values.textContent = '';
    for (const one of [...this.store.series.values()].filter((s) => !drawn.has(s.name)).slice(0, 24)) {
      if (!one.last) continue;
      const item = make('span', 'anl-value');
      item.append(make('span', 'anl-faint', one.name), make('b', '', numberText(one.last[1])));
      this.values.append(item);
    }
    this.values.hidden = !this.values.childElementCount;
  }

  writeLog() {
    const { store } = this;
    const lines = store.total + (store.open ? 1 : 0);
    let title = lines ? `Log, ${count(lines, 'line')}` : 'Log';
    if (store.oldest > 0) {
      title += `; the first ${store.oldest.toLocaleString('en')} are in %anylearn_logs ${store.model.get('task_id')}`;
    }
    this.logTitle.textContent = title;
    this.followButton.hidden = Boolean(store.state.finished);
    this.log.element.classList.toggle('anl-empty', !lines);
    this.log.element.dataset.empty = store.state.finished
      ? 'It wrote nothing.'
      : 'Nothing written yet.';
    this.log.update();
  }

  async copyId() {
    const id = this.store.model.get('task_id');
    try {
      await navigator.clipboard.writeText(id);
      this.copy.textContent = 'Copied';
    } catch (error) {
      // Without permission the reader copies it: it is selected then.
      const code = this.card.querySelector('.anl-id');
      if (code) getSelection()?.selectAllChildren(code);
      this.copy.textContent = 'Selected';
    }
    setTimeout(() => (this.copy.textContent = 'Copy ID'), 1500);
  }

  /** Hide the twin beside this card, which stands for it where there is no card. */
  hideTwin() {
    const id = this.store.model.get('task_id');
    const hide = () => {
      const area = this.root.closest('.jp-OutputArea');
      for (const twin of area?.querySelectorAll(`[data-snap="${CSS.escape(id)}"]`) || []) {
        const output = twin.closest('.jp-OutputArea-child');
        if (output instanceof HTMLElement) {
          output.style.display = 'none';
          this.hidden = output;
        }
      }
      if (area && area !== this.area) {
        this.area = area;
        this.watcher?.disconnect();
        this.watcher = new MutationObserver((changes) => {
          if (changes.some((change) => !this.root.contains(change.target))) hide();
        });
        this.watcher.observe(area, { childList: true, subtree: true });
      }
    };
    // At first the card is in no page yet; it is soon, and the twin comes after it.
    const until = Date.now() + 30000;
    const look = () => {
      if (this.gone) return;
      hide();
      if (!this.area && Date.now() < until) setTimeout(look, 50);
    };
    look();
  }

  dispose() {
    this.gone = true;
    this.watcher?.disconnect();
    if (this.hidden) this.hidden.style.display = '';
    this.store.listeners.delete(this.listener);
    clearInterval(this.clock);
    clearTimeout(this.asking);
    if (this.queued) cancelAnimationFrame(this.queued);
  }
}

export default () => {
  /** @type {Store | null} */
  let store = null;
  return {
    initialize({ model }) {
      store = new Store(model);
    },
    render({ model, el }) {
      const view = new View(store || (store = new Store(model)), el);
      return () => view.dispose();
    },
  };
};
