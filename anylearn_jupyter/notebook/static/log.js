// @ts-check
// The log: rows of equal height of which only those in sight exist.

import { writeLine } from './colors.js';
import { make } from './words.js';

const ROW = 18; // pixels; the same in task.css
const MAX_ROWS = 12; // rows in sight, at most, until the reader makes the pane taller

export class LogPane {
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
    // What was out of sight (another tab, a folded cell) could not be scrolled.
    this.sizes = new ResizeObserver(() => this.update());
    this.sizes.observe(this.element);
  }

  dispose() {
    this.sizes.disconnect();
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
