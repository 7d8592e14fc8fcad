// @ts-check
// The page side of a live table: a sweep's, or that of any tasks. Its kernel side is ../table_widget.py, which also joins the
// modules of this directory into the one that anywidget wants (so no name may stand in two of them).
//
// Rows have one height, and of them only those in sight exist. Every word of a task's is a text node.

import { OpenRow, button } from './table_row.js';
import { TableStore } from './table_store.js';
import { count, durationText, make, makeReachable, numberText } from './words.js';

const ROW_HEIGHT = 28; // pixels; the same in table.css
const COLUMN_GAP = 12; // pixels; the same in table.css
const SPARE_ROWS = 8;
const MAX_NAMES = 8; // swept names that have a column of their own
const RESORT_MS = 1000; // a table that one reads does not jump more often
const PHASES = [
  ['running', 'running'],
  ['starting', 'starting'],
  ['stopping', 'stopping'],
  ['queued', 'queued'],
  ['created', 'created'],
  ['succeeded', 'succeeded'],
  ['failed', 'failed'],
  ['aborted', 'stopped'],
  ['lost', 'lost'],
  ['deleted', 'deleted'],
  ['gone', 'gone'],
];
const WORD_OF_PHASE = new Map(/** @type {[string, string][]} */ (PHASES));

let lastTableNumber = 0;

class TableView {
  constructor(store, root) {
    this.store = store;
    this.root = root;
    this.prefix = `anl-sweep-${(lastTableNumber += 1)}`;
    this.elements = new Map(); // place to row element
    this.sort = { key: 'place', up: true };
    this.filter = '';
    this.phase = '';
    this.metric = ''; // by name; the store's choice until the reader's
    this.mode = '';
    this.active = -1; // the place that the arrow keys are at
    this.order = [];
    this.sortedAt = 0;
    this.build();
    this.listener = () => this.soon();
    store.listeners.add(this.listener);
    this.clock = setInterval(() => this.update(), 1000);
    this.hideTwin();
    this.update();
  }

  build() {
    this.card = make('section', 'anl-card anl-sweep');
    const top = make('header', 'anl-sweep-top');
    this.title = make('span', 'anl-sweep-title');
    this.about = make('span', 'anl-sweep-about');
    top.append(this.title, this.about);
    this.bar = make('div', 'anl-sweep-bar');
    this.bar.setAttribute('role', 'img');
    this.chips = make('div', 'anl-sweep-chips');
    this.chips.setAttribute('role', 'group');
    this.chips.setAttribute('aria-label', 'Show only');
    this.best = make('div', 'anl-sweep-best');
    this.buildTools();
    this.buildConfirm();
    this.notice = make('div', 'anl-sweep-notice');
    this.notice.setAttribute('role', 'status');
    this.buildGrid();
    this.empty = make('div', 'anl-sweep-empty', 'No training fits the filter.');
    this.openRow = new OpenRow(this.store, {
      stop: (row) => this.askStopping([row.place], `Stop ${row.name}?`, 'Stop it'),
      close: () => {
        this.store.open(-1);
        this.grid.focus();
      },
    });
    this.card.append(
      top, this.bar, this.chips, this.best, this.tools, this.confirm, this.notice, this.grid,
      this.empty, this.openRow.element,
    );
    this.root.append(this.card);
  }

  buildTools() {
    this.tools = make('div', 'anl-sweep-tools');
    this.metricSelect = make('select', 'anl-sweep-field');
    this.metricSelect.setAttribute('aria-label', 'Metric');
    this.metricSelect.addEventListener('change', () => this.chooseMetric(this.metricSelect.value));
    this.modeButton = button('', 'anl-sweep-mode');
    this.modeButton.addEventListener('click', () => {
      this.mode = this.direction === 'min' ? 'max' : 'min';
      this.bestFirst();
    });
    this.filterField = make('input', 'anl-sweep-field anl-sweep-filter');
    this.filterField.type = 'search';
    this.filterField.placeholder = 'Filter, such as lr=0.1 failed';
    this.filterField.setAttribute('aria-label', 'Filter the trainings');
    this.filterField.addEventListener('input', () => {
      this.filter = this.filterField.value.trim().toLowerCase();
      this.grid.scrollTop = 0;
      this.resort();
    });
    // What one types is for the field, and no command of the notebook's.
    for (const field of [this.filterField, this.metricSelect]) {
      field.addEventListener('keydown', (event) => event.stopPropagation());
    }
    const spring = make('span', 'anl-sweep-spring');
    this.halfButton = button('Stop worst half');
    this.halfButton.addEventListener('click', () => this.askHalf());
    this.retryButton = button('Retry failed');
    this.retryButton.addEventListener('click', () => this.askRetry());
    this.stopButton = button('Stop all', 'anl-stop');
    this.stopButton.addEventListener('click', () => this.askStop());
    this.metricPart = make('span', 'anl-sweep-part');
    this.metricPart.append(this.metricSelect, this.modeButton);
    this.actions = make('span', 'anl-sweep-part');
    this.actions.append(this.retryButton, this.halfButton, this.stopButton);
    this.tools.append(this.metricPart, this.filterField, spring, this.actions);
  }

  buildConfirm() {
    this.confirm = make('div', 'anl-sweep-confirm');
    this.confirm.setAttribute('role', 'alertdialog');
    this.confirm.setAttribute('aria-labelledby', `${this.prefix}-question`);
    this.question = make('span', 'anl-sweep-question');
    this.question.id = `${this.prefix}-question`;
    this.yes = button('', 'anl-sweep-yes');
    this.no = button('Keep as it is');
    this.yes.addEventListener('click', () => {
      const { act } = this;
      this.closeQuestion();
      act();
    });
    this.no.addEventListener('click', () => this.closeQuestion());
    this.confirm.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        this.closeQuestion();
      }
    });
    this.confirm.append(this.question, this.yes, this.no);
    this.confirm.hidden = true;
  }

  buildGrid() {
    this.grid = make('div', 'anl-sweep-grid');
    makeReachable(this.grid);
    this.grid.setAttribute('role', 'grid');
    this.grid.setAttribute('aria-label', 'Trainings');
    this.head = make('div', 'anl-sweep-head');
    this.head.setAttribute('role', 'row');
    this.space = make('div', 'anl-sweep-space');
    this.space.setAttribute('role', 'rowgroup');
    const headGroup = make('div', 'anl-sweep-headgroup');
    headGroup.setAttribute('role', 'rowgroup');
    headGroup.append(this.head);
    this.grid.append(headGroup, this.space);
    this.grid.addEventListener('scroll', () => this.paint());
    this.grid.addEventListener('keydown', (event) => this.keyPressed(event));
    this.space.addEventListener('click', (event) => {
      const row = event.target instanceof Element && event.target.closest('.anl-sweep-row');
      if (row instanceof HTMLElement) this.toggle(Number(row.dataset.place));
    });
    this.sizes = new ResizeObserver(() => this.paint());
    this.sizes.observe(this.grid);
  }

  /** Draw with the page's next frame, however much comes until then. */
  soon() {
    if (this.queued) return;
    this.queued = requestAnimationFrame(() => {
      this.queued = 0;
      this.update();
    });
  }

  // What is chosen.

  get at() {
    const name = this.metric || this.store.choice;
    return this.store.series.findIndex((one) => one.name === name);
  }

  get direction() {
    return this.mode || this.store.series[this.at]?.mode || 'min';
  }

  chooseMetric(name) {
    this.metric = name;
    this.mode = '';
    this.bestFirst();
  }

  /** Where the rows are sorted by the metric, begin with the best of the one that counts now. */
  bestFirst() {
    if (this.sort.key === 'best' || this.sort.key === 'last') this.sort.up = this.direction === 'min';
    this.resort();
  }

  /** The best value of a training so far; undefined before it has told any. */
  bestOf(row) {
    const found = row.metrics.get(this.at);
    return found && (this.direction === 'min' ? found.low : found.high);
  }

  get columns() {
    const names = this.store.header.names.slice(0, MAX_NAMES);
    const metric = this.store.series[this.at]?.name;
    return [
      { key: 'place', text: '#', label: 'Number', least: 44, fixed: true, number: true },
      ...names.map((name, at) => ({ key: `v${at}`, text: name, label: name, least: 76 })),
      { key: 'state', text: 'state', label: 'State', least: 132, share: 1.5 },
      { key: 'share', text: 'progress', label: 'Progress', least: 96, fixed: true },
      ...(metric
        ? [
            { key: 'last', text: metric, label: `${metric}, last`, least: 92, number: true },
            { key: 'best', text: 'best', label: `${metric}, best`, least: 92, number: true },
          ]
        : []),
      { key: 'time', text: 'time', label: 'Time', least: 84, fixed: true, number: true },
    ];
  }

  valueOf(row, key) {
    if (key === 'place') return row.place;
    if (key === 'state') return PHASES.findIndex(([phase]) => phase === row.phase);
    if (key === 'share') return row.ended ? 1 : row.share;
    if (key === 'last') return row.metrics.get(this.at)?.last;
    if (key === 'best') return this.bestOf(row);
    if (key === 'time') return this.secondsOf(row);
    const text = row.values[Number(key.slice(1))];
    return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
  }

  secondsOf(row) {
    if (!row.began) return undefined;
    const end = row.endedAt || (row.ended ? row.began : Date.now() - this.store.skew);
    return Math.max(0, end - row.began) / 1000;
  }

  fits(row) {
    if (this.phase && row.phase !== this.phase) return false;
    if (!this.filter) return true;
    const state = WORD_OF_PHASE.get(row.phase) || row.phase;
    return this.filter.split(/\s+/).every((word) => `${row.words} ${state}`.includes(word));
  }

  resort() {
    this.sortedAt = 0;
    this.update();
  }

  /** Put the rows that fit into order, not too often while one reads. */
  arrange() {
    const now = performance.now();
    const { version } = this.store;
    const known = this.store.rows.length === this.sortedCount;
    if (this.sortedAt && known && (version === this.sortedVersion || now - this.sortedAt < RESORT_MS)) return;
    this.sortedAt = now;
    this.sortedCount = this.store.rows.length;
    this.sortedVersion = version;
    const { key, up } = this.sort;
    const keyed = [];
    for (const row of this.store.rows) {
      if (row && this.fits(row)) keyed.push([this.valueOf(row, key), row.place]);
    }
    const sign = up ? 1 : -1;
    keyed.sort(([a, m], [b, n]) => {
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined) || m - n;
      if (typeof a === typeof b) return a < b ? -sign : a > b ? sign : m - n;
      return typeof a === 'number' ? -sign : sign;
    });
    this.order = keyed.map(([, place]) => place);
  }

  // Drawing.

  update() {
    if (this.gone) return;
    const { store } = this;
    const { header } = store;
    this.bestPlace = this.findBest();
    this.arrange();
    this.title.textContent = header.title;
    const limit = header.parallel ? `at most ${header.parallel} at once, ` : '';
    const kind = header.kind ? `${header.kind} of ${header.names.join(', ')}, ` : '';
    this.about.textContent = `${kind}${limit}on ${header.server}`;
    this.card.setAttribute('aria-label', header.title);
    this.card.classList.toggle('anl-dead', store.dead);
    this.writeCounts();
    this.writeBest();
    this.writeTools();
    this.writeNotice();
    this.writeHead();
    this.empty.hidden = this.order.length > 0 || !store.rows.length;
    this.paint();
    this.openRow.write();
    this.card.dataset.kernelMs = String(store.kernelMs); // of when this is; the benchmark reads it
  }

  findBest() {
    let best = -1;
    let value;
    const sign = this.direction === 'min' ? 1 : -1;
    for (const row of this.store.rows) {
      const found = row && this.bestOf(row);
      if (found !== undefined && (value === undefined || sign * found < sign * value)) {
        value = found;
        best = row.place;
      }
    }
    return best;
  }

  writeCounts() {
    const counts = new Map();
    for (const row of this.store.rows) if (row) counts.set(row.phase, (counts.get(row.phase) || 0) + 1);
    const known = JSON.stringify([...counts, this.phase]);
    if (known === this.knownCounts) return;
    this.knownCounts = known;
    const total = this.store.rows.length || 1;
    const focused = document.activeElement?.getAttribute?.('data-chip');
    this.chips.textContent = '';
    this.bar.textContent = '';
    const words = [];
    for (const [phase, word] of PHASES) {
      const number = counts.get(phase) || 0;
      if (!number && this.phase !== phase) continue;
      words.push(`${number} ${word}`);
      const part = make('span', 'anl-sweep-segment');
      part.dataset.phase = phase;
      part.style.width = `${(100 * number) / total}%`;
      if (counts.size) this.bar.append(part);
      const chip = make('button', 'anl-sweep-chip');
      chip.setAttribute('type', 'button');
      chip.dataset.phase = phase;
      chip.dataset.chip = phase;
      chip.setAttribute('aria-pressed', String(this.phase === phase));
      chip.title = this.phase === phase ? 'Show all again' : `Show only what is ${word}`;
      chip.append(make('b', '', number.toLocaleString('en')), ` ${word}`);
      chip.addEventListener('click', () => {
        this.phase = this.phase === phase ? '' : phase;
        this.grid.scrollTop = 0;
        this.resort();
      });
      this.chips.append(chip);
      if (focused === phase) chip.focus();
    }
    // The bar grows from what is done, as one reads it.
    const done = ['succeeded', 'failed', 'lost', 'deleted', 'gone', 'aborted', 'stopping', 'running'];
    const parts = /** @type {HTMLElement[]} */ ([...this.bar.children]);
    const place = (part) => (done.indexOf(part.dataset.phase) + 99) % 99;
    this.bar.append(...parts.sort((a, b) => place(a) - place(b)));
    this.bar.setAttribute('aria-label', words.join(', ') || 'no training yet');
  }

  writeBest() {
    const row = this.store.rows[this.bestPlace];
    this.best.hidden = !row;
    if (!row) return;
    const { names } = this.store.header;
    const value = numberText(this.bestOf(row));
    const values = names.map((name, at) => `${name}=${row.values[at]}`).join('  ');
    const known = `${row.place} ${value} ${values} ${this.metric} ${this.direction}`;
    if (known === this.knownBest) return;
    this.knownBest = known;
    this.best.textContent = '';
    const show = button(`#${row.place + 1}`, 'anl-sweep-link');
    show.setAttribute('aria-label', `Show training ${row.place + 1}, the best`);
    show.addEventListener('click', () => this.show(this.bestPlace));
    this.best.append(
      make('span', 'anl-sweep-star', '★'),
      make('span', 'anl-faint', `best ${this.store.series[this.at].name}`),
      make('b', 'anl-sweep-value', value),
      make('span', 'anl-sweep-code', values),
      show,
    );
  }

  writeTools() {
    const { store } = this;
    const names = store.series.map((one) => one.name);
    const known = JSON.stringify(names);
    if (known !== this.knownSeries) {
      this.knownSeries = known;
      this.metricSelect.textContent = '';
      for (const name of names) {
        const option = make('option', '', name);
        option.value = name;
        this.metricSelect.append(option);
      }
    }
    const chosen = store.series[this.at]?.name || '';
    if (this.metricSelect.value !== chosen) this.metricSelect.value = chosen;
    this.metricPart.hidden = !names.length;
    const lower = this.direction === 'min';
    this.modeButton.textContent = lower ? '↓ lower is better' : '↑ higher is better';
    const { dead, doing } = store;
    const failed = store.rows.filter((row) => row && (row.phase === 'failed' || row.phase === 'lost'));
    const unfinished = store.unfinished.length;
    this.stopButton.hidden = !unfinished;
    this.halfButton.hidden = !unfinished || !names.length;
    this.retryButton.hidden = !failed.length;
    this.stopButton.disabled = dead || doing;
    const told = (row) => row && row.phase === 'running' && this.bestOf(row) !== undefined;
    this.halfButton.disabled = dead || doing || store.rows.filter(told).length < 2;
    this.retryButton.disabled = dead || doing;
    this.retryButton.textContent = `Retry failed (${failed.length})`;
    this.halfButton.title = this.halfButton.disabled
      ? 'Two trainings have to run and to have told the metric'
      : '';
  }

  writeNotice() {
    const { store } = this;
    let text = store.notice;
    if (store.dead && store.unfinished.length) {
      text =
        'The kernel of this view has ended; the trainings have not. ' +
        `%anylearn_resume ${store.header.task} shows them.`;
    } else if (store.retired) {
      text = 'A newer view is kept up to date instead of this one.';
    }
    if (this.notice.textContent !== text) this.notice.textContent = text;
    this.notice.hidden = !text;
  }

  writeHead() {
    const { columns } = this;
    const known = JSON.stringify([columns.map((one) => one.text), this.sort]);
    if (known === this.knownHead) return;
    this.knownHead = known;
    const focused = document.activeElement?.getAttribute?.('data-sort');
    // The same for the head and for every row, whatever the words in them, so that they align.
    const widths = columns.map((one) => (one.fixed ? `${one.least}px` : `minmax(${one.least}px, ${one.share || 1}fr)`));
    const least = columns.reduce((sum, one) => sum + one.least + COLUMN_GAP, COLUMN_GAP);
    this.card.style.setProperty('--anl-columns', widths.join(' '));
    this.card.style.setProperty('--anl-least', `${least}px`);
    this.head.textContent = '';
    for (const column of columns) {
      const cell = make('div', `anl-sweep-cell${column.number ? ' anl-sweep-number' : ''}`);
      cell.setAttribute('role', 'columnheader');
      const sorted = this.sort.key === column.key;
      cell.setAttribute('aria-sort', sorted ? (this.sort.up ? 'ascending' : 'descending') : 'none');
      const sorter = make('button', 'anl-sweep-sorter', column.text);
      sorter.setAttribute('type', 'button');
      sorter.setAttribute('data-sort', column.key);
      sorter.setAttribute('aria-label', `Sort by ${column.label}`);
      sorter.title = column.label;
      if (sorted) sorter.append(make('span', 'anl-sweep-arrow', this.sort.up ? '▲' : '▼'));
      sorter.addEventListener('click', () => this.sortBy(column.key));
      cell.append(sorter);
      this.head.append(cell);
      if (focused === column.key) sorter.focus();
    }
    this.grid.setAttribute('aria-colcount', String(columns.length));
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
  }

  sortBy(key) {
    const first = key === 'best' || key === 'last' ? this.direction === 'min' : true;
    this.sort = { key, up: this.sort.key === key ? !this.sort.up : first };
    this.resort();
  }

  /** Have an element for each row in sight, and for no other. */
  paint() {
    const { order, elements, grid } = this;
    this.space.style.height = `${order.length * ROW_HEIGHT}px`;
    grid.setAttribute('aria-rowcount', String(order.length + 1));
    const height = grid.clientHeight || 400;
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const end = Math.min(order.length, first + Math.ceil(height / ROW_HEIGHT) + 2 * SPARE_ROWS);
    const wanted = new Map();
    for (let at = first; at < end; at++) wanted.set(order[at], at);
    for (const [place, element] of elements) {
      if (!wanted.has(place)) {
        element.remove();
        elements.delete(place);
      }
    }
    for (const [place, at] of wanted) this.paintRow(place, at);
    const active = this.active >= 0 && elements.has(this.active);
    if (active) grid.setAttribute('aria-activedescendant', `${this.prefix}-${this.active}`);
    else grid.removeAttribute('aria-activedescendant');
  }

  paintRow(place, at) {
    const row = this.store.rows[place];
    let element = this.elements.get(place);
    if (!element) {
      element = make('div', 'anl-sweep-row');
      element.id = `${this.prefix}-${place}`;
      element.setAttribute('role', 'row');
      element.dataset.place = String(place);
      element.anlCells = this.columns.map((column) => {
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
    element.classList.toggle('anl-sweep-top1', place === this.bestPlace);
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
    if (key === 'place') return `${row.place === this.bestPlace ? '★ ' : ''}${row.place + 1}`;
    if (key === 'state') return row.outcome || WORD_OF_PHASE.get(row.phase) || row.phase;
    if (key === 'time') {
      const seconds = this.secondsOf(row);
      return seconds === undefined ? '' : durationText(seconds);
    }
    const value = key === 'last' || key === 'best' ? this.valueOf(row, key) : undefined;
    if (key === 'last' || key === 'best') return value === undefined ? '' : numberText(value);
    return row.values[Number(key.slice(1))] || '';
  }

  // One training.

  toggle(place) {
    this.active = place;
    this.store.open(this.store.openPlace === place ? -1 : place);
  }

  show(place) {
    if (!this.order.includes(place)) {
      this.filter = this.phase = this.filterField.value = '';
      this.resort();
    }
    this.active = place;
    this.reveal();
    if (this.store.openPlace !== place) this.store.open(place);
    this.update();
  }

  reveal() {
    const at = this.order.indexOf(this.active);
    if (at < 0) return;
    const head = this.head.offsetHeight;
    const top = at * ROW_HEIGHT;
    const room = this.grid.clientHeight - head - ROW_HEIGHT;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top > this.grid.scrollTop + room) this.grid.scrollTop = top - room;
  }

  keyPressed(event) {
    if (event.target !== this.grid) return;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / ROW_HEIGHT) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (event.key in steps && this.order.length) {
      const at = this.order.indexOf(this.active);
      const to = at < 0 ? 0 : Math.min(Math.max(at + steps[event.key], 0), this.order.length - 1);
      this.active = this.order[event.key === 'End' ? this.order.length - 1 : to];
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

  // Questions.

  askQuestion(text, yes, act, from) {
    this.question.textContent = text;
    this.yes.textContent = yes;
    this.act = act;
    this.askedFrom = from;
    this.confirm.hidden = false;
    this.no.focus();
  }

  closeQuestion() {
    this.confirm.hidden = true;
    this.askedFrom?.focus?.();
  }

  askStopping(places, text, yes) {
    const from = document.activeElement;
    this.askQuestion(text, yes, () => this.store.ask({ k: 'stop', places }), from);
  }

  askStop() {
    const places = this.store.unfinished.map((row) => row.place);
    this.askStopping(
      places,
      `Stop ${count(places.length, 'training')} that have not ended? What they wrote stays.`,
      'Stop them',
    );
  }

  worstHalf() {
    const sign = this.direction === 'min' ? 1 : -1;
    const running = this.store.rows.filter(
      (row) => row && row.phase === 'running' && this.bestOf(row) !== undefined,
    );
    running.sort((a, b) => sign * (this.bestOf(a) - this.bestOf(b)) || a.place - b.place);
    return running.slice(running.length - Math.floor(running.length / 2)).map((row) => row.place);
  }

  askHalf() {
    const places = this.worstHalf();
    const { name } = this.store.series[this.at];
    const kept = this.bestOf(this.store.rows[places[0]]);
    const word = this.direction === 'min' ? 'higher' : 'lower';
    this.askStopping(
      places,
      `Stop ${count(places.length, 'training')} whose best ${name} is ${numberText(kept)} or ${word}? ` +
        'What waits and what has ended is left alone.',
      'Stop the worst half',
    );
  }

  askRetry() {
    const failed = this.store.rows.filter((row) => row && (row.phase === 'failed' || row.phase === 'lost'));
    this.askQuestion(
      `Submit ${count(failed.length, 'training')} again, with the files as they are now?`,
      'Submit again',
      () => this.store.ask({ k: 'retry' }),
      document.activeElement,
    );
  }

  /** Hide the twin beside this table, which stands for it where there is no table. */
  hideTwin() {
    const id = this.store.model.get('group_id');
    const until = Date.now() + 30000;
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
    const look = () => {
      if (this.gone) return;
      hide();
      if (!this.area && Date.now() < until) setTimeout(look, 50);
    };
    look();
  }

  dispose() {
    this.gone = true;
    this.sizes.disconnect();
    this.openRow.dispose();
    this.watcher?.disconnect();
    if (this.hidden) this.hidden.style.display = '';
    this.store.listeners.delete(this.listener);
    clearInterval(this.clock);
    if (this.queued) cancelAnimationFrame(this.queued);
  }
}

export default () => {
  /** @type {TableStore | null} */
  let store = null;
  return {
    initialize({ model }) {
      store = new TableStore(model);
    },
    render({ model, el }) {
      const view = new TableView(store || (store = new TableStore(model)), el);
      return () => view.dispose();
    },
  };
};
