// @ts-check
// The rows of a table, under a head that sorts them. They have one height, and of them only those in
// sight exist. Every word of a task's is a text node.

import { wordOf } from './table_order.js';
import { durationText, make, makeReachable, numberText } from './words.js';

const ROW_HEIGHT = 28; // pixels; the same in table.css
const COLUMN_GAP = 12; // pixels; the same in table.css
const SPARE_ROWS = 8;

export class TableGrid {
  /**
   * @param {import('./table_store.js').TableStore} store
   * @param {import('./table_order.js').TableOrder} order
   * @param {string} prefix of the ids in this table
   * @param {() => void} sorted
   */
  constructor(store, order, prefix, sorted) {
    this.store = store;
    this.order = order;
    this.prefix = prefix;
    this.sorted = sorted;
    this.elements = new Map(); // place to row element
    this.active = -1; // the place that the arrow keys are at
    this.build();
  }

  build() {
    this.element = make('div', 'anl-sweep-grid');
    makeReachable(this.element);
    this.element.setAttribute('role', 'grid');
    this.element.setAttribute('aria-label', 'Trainings');
    this.head = make('div', 'anl-sweep-head');
    this.head.setAttribute('role', 'row');
    this.space = make('div', 'anl-sweep-space');
    this.space.setAttribute('role', 'rowgroup');
    const headGroup = make('div', 'anl-sweep-headgroup');
    headGroup.setAttribute('role', 'rowgroup');
    headGroup.append(this.head);
    this.element.append(headGroup, this.space);
    this.element.addEventListener('scroll', () => this.paint());
    this.element.addEventListener('keydown', (event) => this.keyPressed(event));
    this.space.addEventListener('click', (event) => {
      const row = event.target instanceof Element && event.target.closest('.anl-sweep-row');
      if (row instanceof HTMLElement) this.toggle(Number(row.dataset.place));
    });
    this.sizes = new ResizeObserver(() => this.paint());
    this.sizes.observe(this.element);
  }

  dispose() {
    this.sizes.disconnect();
  }

  /** Show the rows from the first one on. */
  toTop() {
    this.element.scrollTop = 0;
  }

  update() {
    this.writeHead();
    this.paint();
  }

  writeHead() {
    const { order } = this;
    const { columns } = order;
    const known = JSON.stringify([columns.map((one) => one.text), order.sort]);
    if (known === this.knownHead) return;
    this.knownHead = known;
    const focused = document.activeElement?.getAttribute?.('data-sort');
    // The same for the head and for every row, whatever the words in them, so that they align.
    const widths = columns.map((one) => (one.fixed ? `${one.least}px` : `minmax(${one.least}px, ${one.share || 1}fr)`));
    const least = columns.reduce((sum, one) => sum + one.least + COLUMN_GAP, COLUMN_GAP);
    this.element.style.setProperty('--anl-columns', widths.join(' '));
    this.element.style.setProperty('--anl-least', `${least}px`);
    this.head.textContent = '';
    for (const column of columns) {
      const cell = make('div', `anl-sweep-cell${column.number ? ' anl-sweep-number' : ''}`);
      cell.setAttribute('role', 'columnheader');
      const sorted = order.sort.key === column.key;
      cell.setAttribute('aria-sort', sorted ? (order.sort.up ? 'ascending' : 'descending') : 'none');
      const sorter = make('button', 'anl-sweep-sorter', column.text);
      sorter.setAttribute('type', 'button');
      sorter.setAttribute('data-sort', column.key);
      sorter.setAttribute('aria-label', `Sort by ${column.label}`);
      sorter.title = column.label;
      if (sorted) sorter.append(make('span', 'anl-sweep-arrow', order.sort.up ? '▲' : '▼'));
      sorter.addEventListener('click', () => {
        order.sortBy(column.key);
        this.sorted();
      });
      cell.append(sorter);
      this.head.append(cell);
      if (focused === column.key) sorter.focus();
    }
    this.element.setAttribute('aria-colcount', String(columns.length));
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
  }

  /** Have an element for each row in sight, and for no other. */
  paint() {
    const { elements, element } = this;
    const { places } = this.order;
    this.space.style.height = `${places.length * ROW_HEIGHT}px`;
    element.setAttribute('aria-rowcount', String(places.length + 1));
    const height = element.clientHeight || 400;
    const first = Math.max(0, Math.floor(element.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const end = Math.min(places.length, first + Math.ceil(height / ROW_HEIGHT) + 2 * SPARE_ROWS);
    const wanted = new Map();
    for (let at = first; at < end; at++) wanted.set(places[at], at);
    for (const [place, row] of elements) {
      if (!wanted.has(place)) {
        row.remove();
        elements.delete(place);
      }
    }
    for (const [place, at] of wanted) this.paintRow(place, at);
    const active = this.active >= 0 && elements.has(this.active);
    if (active) element.setAttribute('aria-activedescendant', `${this.prefix}-${this.active}`);
    else element.removeAttribute('aria-activedescendant');
  }

  paintRow(place, at) {
    const row = this.store.rows[place];
    let element = this.elements.get(place);
    if (!element) {
      element = make('div', 'anl-sweep-row');
      element.id = `${this.prefix}-${place}`;
      element.setAttribute('role', 'row');
      element.dataset.place = String(place);
      element.anlCells = this.order.columns.map((column) => {
        const cell = make('div', `anl-sweep-cell${column.number ? ' anl-sweep-number' : ''}`);
        cell.setAttribute('role', 'gridcell');
        if (column.key === 'share') {
          const track = make('span', 'anl-sweep-track');
          cell.anlFill = make('span', 'anl-sweep-fill');
          cell.anlText = make('span', 'anl-sweep-percent');
          track.append(cell.anlFill);
          cell.append(track, cell.anlText);
        }
        if (column.key === 'state') cell.classList.add('anl-sweep-state');
        element.append(cell);
        return [column.key, cell];
      });
      this.elements.set(place, element);
      this.space.append(element);
    }
    element.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
    element.setAttribute('aria-rowindex', String(at + 2));
    element.dataset.phase = row.phase;
    element.classList.toggle('anl-sweep-top1', place === this.order.best);
    element.classList.toggle('anl-sweep-odd', at % 2 === 1);
    element.classList.toggle('anl-sweep-active', place === this.active);
    element.setAttribute('aria-selected', String(place === this.store.openPlace));
    for (const [key, cell] of element.anlCells) this.paintCell(row, key, cell);
  }

  paintCell(row, key, cell) {
    if (key === 'share') {
      const share = row.phase === 'succeeded' ? 1 : row.share;
      const percent = share === undefined ? '' : `${Math.round(100 * share)} %`;
      cell.firstChild.style.visibility = share === undefined ? 'hidden' : '';
      cell.anlFill.style.width = `${100 * (share || 0)}%`;
      if (cell.anlText.textContent !== percent) cell.anlText.textContent = percent;
      return;
    }
    const text = this.textOf(row, key);
    if (cell.textContent !== text) {
      cell.textContent = text;
      cell.title = text;
    }
  }

  textOf(row, key) {
    if (key === 'place') return `${row.place === this.order.best ? '★ ' : ''}${row.place + 1}`;
    if (key === 'state') return row.outcome || wordOf(row.phase);
    if (key === 'time') {
      const seconds = this.order.secondsOf(row);
      return seconds === undefined ? '' : durationText(seconds);
    }
    const value = key === 'last' || key === 'best' ? this.order.valueOf(row, key) : undefined;
    if (key === 'last' || key === 'best') return value === undefined ? '' : numberText(value);
    return row.values[Number(key.slice(1))] || '';
  }

  // Moving.

  toggle(place) {
    this.active = place;
    this.store.open(this.store.openPlace === place ? -1 : place);
  }

  /** Go to a row and open it. */
  show(place) {
    this.active = place;
    this.reveal();
    if (this.store.openPlace !== place) this.store.open(place);
  }

  reveal() {
    const at = this.order.places.indexOf(this.active);
    if (at < 0) return;
    const head = this.head.offsetHeight;
    const top = at * ROW_HEIGHT;
    const room = this.element.clientHeight - head - ROW_HEIGHT;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + room) this.element.scrollTop = top - room;
  }

  keyPressed(event) {
    if (event.target !== this.element) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 2);
    const { places } = this.order;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (event.key in steps && places.length) {
      const at = places.indexOf(this.active);
      const to = at < 0 ? 0 : Math.min(Math.max(at + steps[event.key], 0), places.length - 1);
      this.active = places[event.key === 'End' ? places.length - 1 : to];
      this.reveal();
      this.paint();
    } else if ((event.key === 'Enter' || event.key === ' ') && this.active >= 0) {
      this.toggle(this.active);
    } else if (event.key === 'Escape' && this.store.openPlace >= 0) {
      this.store.open(-1);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
