// @ts-check
// The page side of a live table: a sweep's, or that of any tasks. Its kernel side is
// ../table_widget.py, which also joins the modules of this directory into the one that anywidget
// wants (so no name may stand in two of them).
//
// A `TableStore` holds what the page knows, a `TableOrder` what of it is shown; the view here has
// what is above the rows, and asks before it stops anything.

import { Drawing } from './drawing.js';
import { Counts } from './table_counts.js';
import { TableGrid } from './table_grid.js';
import { TableOrder } from './table_order.js';
import { Question } from './table_question.js';
import { OpenRow, button } from './table_row.js';
import { TableStore } from './table_store.js';
import { Twin } from './twin.js';
import { count, make, numberText } from './words.js';

let lastTableNumber = 0;

class TableView {
  constructor(store, root) {
    this.store = store;
    this.root = root;
    this.order = new TableOrder(store);
    this.build();
    this.drawing = new Drawing(() => this.update());
    this.listener = () => this.drawing.soon();
    store.listeners.add(this.listener);
    this.clock = setInterval(() => this.update(), 1000);
    this.twin = new Twin(root, store.model.get('group_id'));
    this.update();
  }

  build() {
    this.card = make('section', 'anl-card anl-sweep');
    const top = make('header', 'anl-sweep-top');
    this.title = make('span', 'anl-sweep-title');
    this.about = make('span', 'anl-sweep-about');
    top.append(this.title, this.about);
    this.counts = new Counts(this.store, this.order, () => this.filtered());
    this.best = make('div', 'anl-sweep-best');
    this.buildTools();
    const prefix = `anl-sweep-${(lastTableNumber += 1)}`;
    this.question = new Question(prefix);
    this.notice = make('div', 'anl-sweep-notice');
    this.notice.setAttribute('role', 'status');
    this.grid = new TableGrid(this.store, this.order, prefix, () => this.update());
    this.empty = make('div', 'anl-sweep-empty', 'No training fits the filter.');
    this.openRow = new OpenRow(this.store, {
      stop: (row) => this.askStopping([row.place], `Stop ${row.name}?`, 'Stop it'),
      close: () => {
        this.store.open(-1);
        this.grid.element.focus();
      },
    });
    this.card.append(
      top, this.counts.bar, this.counts.chips, this.best, this.tools, this.question.element,
      this.notice, this.grid.element, this.empty, this.openRow.element,
    );
    this.root.append(this.card);
  }

  buildTools() {
    this.tools = make('div', 'anl-sweep-tools');
    this.metricSelect = make('select', 'anl-sweep-field');
    this.metricSelect.setAttribute('aria-label', 'Metric');
    this.metricSelect.addEventListener('change', () => {
      this.order.chooseMetric(this.metricSelect.value);
      this.update();
    });
    this.modeButton = button('', 'anl-sweep-mode');
    this.modeButton.addEventListener('click', () => {
      this.order.turn();
      this.update();
    });
    this.filterField = make('input', 'anl-sweep-field anl-sweep-filter');
    this.filterField.type = 'search';
    this.filterField.placeholder = 'Filter, such as lr=0.1 failed';
    this.filterField.setAttribute('aria-label', 'Filter the trainings');
    this.filterField.addEventListener('input', () => {
      this.order.filter = this.filterField.value.trim().toLowerCase();
      this.filtered();
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

  /** Show the rows that fit what was chosen now, from the first one on. */
  filtered() {
    this.grid.toTop();
    this.order.again();
    this.update();
  }

  // Drawing.

  update() {
    if (this.gone) return;
    const { store } = this;
    const { header } = store;
    this.order.arrange();
    this.title.textContent = header.title;
    const limit = header.parallel ? `at most ${header.parallel} at once, ` : '';
    const kind = header.kind ? `${header.kind} of ${header.names.join(', ')}, ` : '';
    this.about.textContent = `${kind}${limit}on ${header.server}`;
    this.card.setAttribute('aria-label', header.title);
    this.card.classList.toggle('anl-dead', store.dead);
    this.counts.update();
    this.writeBest();
    this.writeTools();
    this.writeNotice();
    this.empty.hidden = this.order.places.length > 0 || !store.rows.length;
    this.grid.update();
    this.openRow.write();
    this.card.dataset.kernelMs = String(store.kernelMs); // of when this is; the benchmark reads it
  }

  writeBest() {
    const { order } = this;
    const row = this.store.rows[order.best];
    this.best.hidden = !row;
    if (!row) return;
    const { names } = this.store.header;
    const value = numberText(order.bestOf(row));
    const values = names.map((name, at) => `${name}=${row.values[at]}`).join('  ');
    const known = `${row.place} ${value} ${values} ${order.metric} ${order.direction}`;
    if (known === this.knownBest) return;
    this.knownBest = known;
    this.best.textContent = '';
    const show = button(`#${row.place + 1}`, 'anl-sweep-link');
    show.setAttribute('aria-label', `Show training ${row.place + 1}, the best`);
    show.addEventListener('click', () => this.show(order.best));
    this.best.append(
      make('span', 'anl-sweep-star', '★'),
      make('span', 'anl-faint', `best ${this.store.series[order.at].name}`),
      make('b', 'anl-sweep-value', value),
      make('span', 'anl-sweep-code', values),
      show,
    );
  }

  writeTools() {
    const { order, store } = this;
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
    const chosen = store.series[order.at]?.name || '';
    if (this.metricSelect.value !== chosen) this.metricSelect.value = chosen;
    this.metricPart.hidden = !names.length;
    const lower = order.direction === 'min';
    this.modeButton.textContent = lower ? '↓ lower is better' : '↑ higher is better';
    const { dead, doing } = store;
    const failed = store.rows.filter((row) => row && (row.phase === 'failed' || row.phase === 'lost'));
    const unfinished = store.unfinished.length;
    this.stopButton.hidden = !unfinished;
    this.halfButton.hidden = !unfinished || !names.length;
    this.retryButton.hidden = !failed.length;
    this.stopButton.disabled = dead || doing;
    const told = (row) => row && row.phase === 'running' && order.bestOf(row) !== undefined;
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

  // One training.

  show(place) {
    if (!this.order.places.includes(place)) {
      this.filterField.value = '';
      this.order.showAll();
      this.update();
    }
    this.grid.show(place);
    this.update();
  }

  // Questions.

  /** @param {(row: object) => boolean} [still] whether one is meant when the answer comes */
  askStopping(places, text, yes, still = () => true) {
    const { store } = this;
    const act = () => {
      const meant = places.filter((place) => still(store.rows[place]));
      if (meant.length) store.ask({ k: 'stop', places: meant });
    };
    this.question.ask(text, yes, act, document.activeElement);
  }

  askStop() {
    const places = this.store.unfinished.map((row) => row.place);
    this.askStopping(
      places,
      `Stop ${count(places.length, 'training')} that have not ended? What they wrote stays.`,
      'Stop them',
    );
  }

  askHalf() {
    const { order, store } = this;
    const places = order.worstHalf();
    const { at, direction } = order;
    const kept = order.bestOf(store.rows[places[0]]);
    const isLow = direction === 'min';
    // A training may have become better than the question says while it waited for its answer.
    const still = (row) => {
      const found = row.metrics.get(at);
      return isLow ? found.low >= kept : found.high <= kept;
    };
    this.askStopping(
      places,
      `Stop ${count(places.length, 'training')} whose best ${store.series[at].name} is ` +
        `${numberText(kept)} or ${isLow ? 'higher' : 'lower'}? What waits and what has ended is left alone.`,
      'Stop the worst half',
      still,
    );
  }

  askRetry() {
    const failed = this.store.rows.filter((row) => row && (row.phase === 'failed' || row.phase === 'lost'));
    this.question.ask(
      `Submit ${count(failed.length, 'training')} again, with the files as they are now?`,
      'Submit again',
      () => this.store.ask({ k: 'retry' }),
      document.activeElement,
    );
  }

  dispose() {
    this.gone = true;
    this.grid.dispose();
    this.openRow.dispose();
    this.twin.dispose();
    this.drawing.dispose();
    this.store.listeners.delete(this.listener);
    clearInterval(this.clock);
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
