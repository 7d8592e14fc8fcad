// @ts-check
// The log: rows of equal height of which only those in sight exist.

import { writeLine } from './colors.js';
import { make, makeReachable } from './words.js';

const ROW = 18; // pixels; the same in log.css
const MAX_ROWS = 12; // rows in sight, at most, until the reader makes the pane taller
// Browsers draw nothing that is taller than some tens of millions of pixels. A longer log is moved
// through in jumps by the scroll bar, and row by row by everything else.
const MAX_HEIGHT = 6000000;

export class LogPane {
  constructor(log) {
    this.log = log;
    this.rows = new Map(); // line number to element
    this.follows = true;
    this.filters = false; // only the lines from standard error
    this.current = -1; // the line that one has jumped to
    this.needle = ''; // what is searched, in lower case
    this.mode = '';
    this.top = 0; // the oldest line when it was drawn last
    this.offset = 0; // pixels by which the rows are further down than the scroll bar says
    this.height = ROW;
    this.lastTop = 0;
    this.ranges = [];
    this.build();
    this.onFollow = () => {};
    // What was out of sight (another tab, a folded cell) could not be scrolled.
    this.sizes = new ResizeObserver(() => this.update());
    this.sizes.observe(this.element);
  }

  build() {
    this.element = make('div', 'anl-log');
    makeReachable(this.element);
    this.element.setAttribute('role', 'log');
    this.element.setAttribute('aria-live', 'off'); // a training talks more than one can listen
    this.element.setAttribute('aria-label', 'Log of the task');
    this.space = make('div', 'anl-log-space');
    this.sheet = make('div', 'anl-log-sheet');
    this.space.append(this.sheet);
    this.element.append(this.space);
    this.element.addEventListener('scroll', () => this.scrolled());
    this.element.addEventListener('keydown', (event) => this.pressed(event));
  }

  dispose() {
    this.sizes.disconnect();
    this.unmark();
  }

  // Which rows there are.

  /** The numbers of the rows when not all lines are shown. */
  get some() {
    return this.filters ? this.log.searches.stderr?.numbers || [] : null;
  }

  get count() {
    const { preview, total, held, open } = this.log;
    if (preview) return preview.lines.length;
    return this.some ? this.some.length : total - held + (open ? 1 : 0);
  }

  numberAt(index) {
    if (this.log.preview) return index;
    return this.some ? this.some[index] : this.log.held + index;
  }

  /** The row of a line, or the next one's where it has none. */
  indexOf(number) {
    const { some } = this;
    if (!some) return number - this.log.held;
    let low = 0;
    let high = some.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (some[middle] < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  textOf(number) {
    const { log } = this;
    if (log.preview) return log.preview.lines[number];
    return number === log.total ? log.open : log.lines.get(number);
  }

  /** The number of the line at the top of what is in sight. */
  get firstInSight() {
    return this.numberAt(Math.min(this.count - 1, Math.ceil(this.position / ROW))) ?? 0;
  }

  // Moving.

  get wholeHeight() {
    return Math.max(this.count, 1) * ROW;
  }

  /** Pixels of rows above what is in sight. */
  get position() {
    return this.element.scrollTop + this.offset;
  }

  set position(pixels) {
    const { clientHeight } = this.element;
    const room = Math.max(this.wholeHeight - clientHeight, 0);
    const place = Math.max(0, Math.min(pixels, room));
    const scaled = this.wholeHeight > this.height;
    const top = scaled ? Math.round((place / room) * (this.height - clientHeight)) : place;
    this.element.scrollTop = top;
    this.lastTop = this.element.scrollTop;
    this.offset = scaled ? Math.round(place - this.lastTop) : 0;
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    if (scrollTop !== this.lastTop) this.place(scrollTop, clientHeight);
    const follows = scrollTop + clientHeight >= scrollHeight - ROW;
    // A height that changed scrolls too: only the reader's own movement upwards ends following.
    if (follows !== this.follows && (follows || scrollTop < this.lastTop)) {
      this.follows = follows;
      this.onFollow();
    }
    this.lastTop = scrollTop;
    this.paint();
  }

  /** Find out where in a log that is taller than what can be drawn one has scrolled to. */
  place(scrollTop, clientHeight) {
    const beyond = this.wholeHeight - this.height;
    if (beyond <= 0) {
      this.offset = 0;
      return;
    }
    const room = this.height - clientHeight;
    const far = Math.abs(scrollTop - this.lastTop) > Math.max(2 * clientHeight, 400);
    if (scrollTop <= 0) this.offset = 0;
    else if (scrollTop >= room - 1) this.offset = beyond;
    else if (far) this.offset = Math.round((scrollTop / room) * beyond);
  }

  pressed(event) {
    if (event.key === 'End') this.follow(true);
    else if (event.key === 'Home') this.jump(this.numberAt(0) ?? 0, false);
    else return;
    event.preventDefault();
  }

  follow(on) {
    this.follows = on;
    this.onFollow();
    this.update();
  }

  /** Bring a line into sight, and mark it. */
  jump(number, mark = true) {
    this.current = mark ? number : this.current;
    this.follows = false;
    this.onFollow();
    this.update();
    this.position = this.indexOf(number) * ROW - this.element.clientHeight / 3;
    this.paint();
  }

  filter(on) {
    if (on === this.filters) return;
    const number = this.firstInSight;
    this.filters = on;
    this.update();
    if (!this.follows) this.position = this.indexOf(number) * ROW;
    this.paint();
  }

  // Drawing.

  /** Take what the store has, and keep the lines that one reads where they are. */
  update() {
    const mode = this.log.preview ? 'preview' : this.filters ? 'some' : 'all';
    const left = this.oldHeight - this.position;
    const position = this.position;
    if (mode !== this.mode) {
      for (const row of this.rows.values()) row.remove();
      this.rows.clear();
    }
    const gone = mode === 'all' && this.mode === 'all' ? this.log.held - this.top : 0;
    this.top = this.log.held;
    this.height = Math.min(this.wholeHeight, MAX_HEIGHT);
    this.space.style.height = `${this.height}px`;
    const rows = Math.min(Math.max(this.count, 3), MAX_ROWS);
    this.element.style.setProperty('--anl-rows', String(rows));
    if (this.follows) this.position = this.wholeHeight;
    else if (this.mode === 'preview' && mode === 'all') this.position = this.wholeHeight - left;
    else if (gone > 0) this.position = position - gone * ROW;
    this.oldHeight = this.wholeHeight;
    this.mode = mode;
    this.lastTop = this.element.scrollTop;
    this.paint();
  }

  /** Have an element for each row in sight, and for no other. */
  paint() {
    const { rows, log } = this;
    const height = this.element.clientHeight || MAX_ROWS * ROW;
    const first = Math.max(0, Math.floor(this.position / ROW) - 10);
    const end = Math.min(this.count, first + Math.ceil(height / ROW) + 21);
    const seen = new Set();
    const missing = [];
    for (let index = first; index < end; index++) {
      const number = this.numberAt(index);
      const text = this.textOf(number);
      seen.add(number);
      if (text === undefined) missing.push(number);
      this.row(index, number, text);
    }
    for (const [number, row] of rows) {
      if (!seen.has(number)) {
        row.remove();
        rows.delete(number);
      }
    }
    if (end > first) log.sight = [this.numberAt(first), this.numberAt(end - 1) + 1];
    if (missing.length && this.some) log.wantSome(missing);
    else if (missing.length) log.want(missing[0], missing[missing.length - 1] + 1);
    this.mark();
  }

  row(index, number, text) {
    let row = this.rows.get(number);
    if (!row) {
      row = make('div', 'anl-line');
      this.rows.set(number, row);
      this.sheet.append(row);
    }
    const top = `${index * ROW - this.offset}px`;
    if (row.style.top !== top) row.style.top = top;
    const shown = text === undefined ? '…' : text;
    if (row.anlText !== shown) {
      row.anlText = shown;
      writeLine(row, shown);
    }
    const { log } = this;
    row.classList.toggle('anl-open', !log.preview && number === log.total);
    row.classList.toggle('anl-stderr', !log.preview && log.stderr.has(number));
    row.classList.toggle('anl-now', !log.preview && number === this.current);
  }

  // Marks on what is searched; where a browser cannot mark a text, its row alone is marked.

  unmark() {
    const marks = hitMarks();
    for (const range of this.ranges) marks?.delete(range);
    this.ranges = [];
  }

  mark() {
    if (this.ranges.length) this.unmark();
    const marks = hitMarks();
    for (const row of this.rows.values()) {
      const found = this.needle ? rangesOf(row, this.needle) : [];
      row.classList.toggle('anl-hit', found.length > 0);
      for (const range of found) marks?.add(range);
      this.ranges.push(...found);
    }
  }
}

/** The one set of marks of this page, which all of its logs share. */
function hitMarks() {
  const registry = /** @type {any} */ (CSS).highlights;
  if (!registry) return null;
  if (!registry.has('anl-hit')) registry.set('anl-hit', new /** @type {any} */ (window).Highlight());
  return registry.get('anl-hit');
}

/** Where in an element a text is, which is in lower case. */
function rangesOf(element, needle) {
  const nodes = [];
  let text = '';
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    nodes.push({ node: walker.currentNode, from: text.length });
    text += walker.currentNode.nodeValue;
  }
  const lower = text.toLowerCase();
  const found = [];
  if (lower.length !== text.length) return found; // the places in it would be others'
  let at = lower.indexOf(needle);
  while (at >= 0 && found.length < 100) {
    const range = document.createRange();
    const [first, last] = [at, at + needle.length].map((place, end) =>
      nodes.findLast((one) => one.from < place + (end ? 0 : 1)));
    range.setStart(first.node, at - first.from);
    range.setEnd(last.node, at + needle.length - last.from);
    found.push(range);
    at = lower.indexOf(needle, at + needle.length);
  }
  return found;
}
