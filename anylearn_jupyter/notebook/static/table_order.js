// @ts-check
// In which order a table shows which of its rows, and by which metric they are ranked.

const MAX_NAMES = 8; // swept names that have a column of their own
const RESORT_MS = 1000; // a table that one reads does not jump more often
export const PHASES = [
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

export const wordOf = (phase) => WORD_OF_PHASE.get(phase) || phase;

export class TableOrder {
  /** @param {import('./table_store.js').TableStore} store */
  constructor(store) {
    this.store = store;
    this.sort = { key: 'place', up: true };
    this.filter = '';
    this.phase = '';
    this.metric = ''; // by name; the store's choice until the reader's
    this.mode = '';
    this.places = []; // of the rows that are shown, from the top
    this.best = -1; // the place of the best row
    this.sortedAt = 0;
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

  /** Take the highest for the best instead of the lowest, or the other way round. */
  turn() {
    this.mode = this.direction === 'min' ? 'max' : 'min';
    this.bestFirst();
  }

  /** Where the rows are sorted by the metric, begin with the best of the one that counts now. */
  bestFirst() {
    if (this.sort.key === 'best' || this.sort.key === 'last') this.sort.up = this.direction === 'min';
    this.again();
  }

  sortBy(key) {
    const first = key === 'best' || key === 'last' ? this.direction === 'min' : true;
    this.sort = { key, up: this.sort.key === key ? !this.sort.up : first };
    this.again();
  }

  showAll() {
    this.filter = this.phase = '';
    this.again();
  }

  /** Have the next arranging not wait. */
  again() {
    this.sortedAt = 0;
  }

  // What a row has.

  get columns() {
    const names = this.store.header.names.slice(0, MAX_NAMES);
    const metric = this.store.series[this.at]?.name;
    return [
      { key: 'place', text: '#', label: 'Number', least: 44, fixed: true, number: true },
      ...names.map((name, at) => ({ key: `v${at}`, text: name, label: name, least: 76 })),
      { key: 'state', text: 'state', label: 'State', least: 178, share: 1.5 },
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

  /** The best value of a training so far; undefined before it has told any. */
  bestOf(row) {
    const found = row.metrics.get(this.at);
    return found && (this.direction === 'min' ? found.low : found.high);
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

  // Which rows, and where.

  fits(row) {
    if (this.phase && row.phase !== this.phase) return false;
    if (!this.filter) return true;
    const state = wordOf(row.phase);
    return this.filter.split(/\s+/).every((word) => `${row.words} ${state}`.includes(word));
  }

  /** Put the rows that fit into order, not too often while one reads; find the best of all. */
  arrange() {
    this.best = this.findBest();
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
    this.places = keyed.map(([, place]) => place);
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

  /** Give the places of the running rows whose best is in the worse half. */
  worstHalf() {
    const sign = this.direction === 'min' ? 1 : -1;
    const running = this.store.rows.filter(
      (row) => row && row.phase === 'running' && this.bestOf(row) !== undefined,
    );
    running.sort((a, b) => sign * (this.bestOf(a) - this.bestOf(b)) || a.place - b.place);
    return running.slice(running.length - Math.floor(running.length / 2)).map((row) => row.place);
  }
}
