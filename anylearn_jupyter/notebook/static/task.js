// @ts-check
// The page side of a task's live card. Its kernel side is ../widget.py, which also joins the modules
// of this directory into the one that anywidget wants (so no name may stand in two of them).
//
// A `Store` holds what the page knows of a task, one for each model; a `View` draws it, one for each
// place where the card is shown.

import { Chart, panelsOf } from './curves.js';
import { Drawing } from './drawing.js';
import { LogPanel } from './log_panel.js';
import { RetryForm } from './retry.js';
import { Store } from './store.js';
import { Timeline } from './timeline.js';
import { Twin } from './twin.js';
import { make, numberText } from './words.js';

const SURE_MS = 4000; // how long "Really stop?" stands
const MAX_PANELS = 12;

class View {
  constructor(store, root) {
    this.store = store;
    this.root = root;
    this.charts = new Map();
    this.log = new LogPanel(store);
    this.life = new Timeline();
    this.retry = new RetryForm((changes) => store.retry(changes), () => this.change.focus());
    this.later = new Map(); // the cards of tasks that were begun from this one
    this.build();
    this.drawing = new Drawing(() => this.update());
    this.listener = (news) => (news ? this.drawing.now() : this.drawing.soon());
    store.listeners.add(this.listener);
    this.clock = setInterval(() => this.writeTimes(), 1000);
    this.twin = new Twin(root, store.model.get('task_id'));
    this.update();
  }

  build() {
    this.card = make('section', 'anl-card');
    // In a notebook single keys are commands to it; here they are not.
    this.card.addEventListener('keydown', (event) => event.stopPropagation());
    this.notice = make('div', 'anl-notice');
    this.notice.setAttribute('role', 'alert');
    this.cause = make('div', 'anl-cause');
    this.progress = make('div', 'anl-progress');
    this.progress.setAttribute('role', 'progressbar');
    this.progress.setAttribute('aria-label', 'Progress');
    this.progress.setAttribute('aria-valuemin', '0');
    this.progress.setAttribute('aria-valuemax', '100');
    this.fill = make('div', 'anl-fill');
    const track = make('div', 'anl-track');
    track.append(this.fill);
    this.progressText = make('span', 'anl-faint');
    this.progress.append(track, this.progressText);
    this.values = make('div', 'anl-values');
    this.pictures = make('div', 'anl-charts');
    this.below = make('div', 'anl-later');
    this.card.append(
      this.buildTop(), this.retry.element, this.notice, this.cause, this.life.element,
      this.progress, this.buildFacts(), this.values, this.pictures, this.log.element,
    );
    this.root.append(this.card, this.below);
  }

  buildTop() {
    const model = this.store.model;
    this.badge = make('span', 'anl-badge');
    this.badge.setAttribute('role', 'status');
    this.name = make('span', 'anl-title');
    this.server = make('span', 'anl-server');
    this.stop = this.button('Stop', '', () => this.stopClicked());
    this.stop.classList.add('anl-stop');
    this.copy = this.button('Copy ID', 'Put the task’s id on the clipboard', () => this.copyId());
    this.fetch = this.button('Results', 'Fetch what it wrote to this machine', () =>
      this.store.work('results', { k: 'results' }));
    this.again = this.button('Retry', 'Submit it again as the directory is now', () =>
      this.store.retry({}));
    this.change = this.button('Retry with changes…', 'Submit it again with other values', () => {
      if (this.retry.element.hidden) this.retry.open(this.params);
      else this.retry.close();
    });
    const actions = make('div', 'anl-actions');
    actions.append(this.copy, this.fetch, this.again, this.change, this.stop);
    const title = make('div', 'anl-heading');
    title.append(this.badge, this.name);
    const sub = make('div', 'anl-sub');
    sub.append(this.server, make('code', 'anl-id', model.get('task_id')));
    const words = make('div', 'anl-who');
    words.append(title, sub);
    const top = make('header', 'anl-top');
    top.append(words, actions);
    return top;
  }

  buildFacts() {
    this.sent = make('details', 'anl-sent');
    const summary = make('summary', '');
    this.digest = make('span', 'anl-digest');
    summary.append(make('span', 'anl-faint', 'What was sent'), this.digest);
    this.facts = make('dl', 'anl-facts');
    this.sent.append(summary, this.facts);
    return this.sent;
  }

  button(text, title, clicked) {
    const made = make('button', 'anl-button', text);
    made.setAttribute('type', 'button');
    if (title) made.title = title;
    made.addEventListener('click', clicked);
    return made;
  }

  get params() {
    return (this.store.model.get('header') || {}).params || [];
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
    this.writeActions();
    this.writeNotice();
    this.writeCause(state.cause);
    this.writeProgress();
    this.writeFacts(header.rows || []);
    this.writeMetrics();
    this.log.update();
    this.showLater();
  }

  writeTimes() {
    // What a dead kernel's card shows is as old as the last news.
    if (!this.store.dead) this.life.update(this.store.state, this.store.skew);
  }

  writeActions() {
    const { store } = this;
    const { finished } = store.state;
    const header = store.model.get('header') || {};
    const can = Boolean(finished && header.repeatable);
    this.fetch.hidden = !finished || store.state.phase === 'gone';
    this.again.hidden = !can;
    this.change.hidden = !can || !this.params.length;
    for (const button of [this.fetch, this.again, this.change]) {
      button.disabled = store.dead;
      // Not disabled, or the focus would be lost.
      button.setAttribute('aria-disabled', String(Boolean(store.working)));
    }
    this.fetch.textContent = store.working === 'results' ? 'Fetching…' : 'Results';
    this.again.textContent = store.working === 'retry' ? 'Submitting…' : 'Retry';
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
    this.notice.classList.toggle('anl-good', Boolean(text && text === store.notice && store.good));
    this.notice.hidden = !text;
  }

  writeCause(cause) {
    const known = JSON.stringify(cause || null);
    this.cause.hidden = !cause;
    if (known === this.knownCause) return;
    this.knownCause = known;
    this.cause.textContent = '';
    if (!cause) return;
    this.cause.append(make('strong', 'anl-cause-summary', cause.summary));
    if (cause.place) this.cause.append(make('div', 'anl-cause-place', cause.place));
    if (cause.lines.length) this.cause.append(make('pre', '', cause.lines.join('\n')));
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
    const byLabel = new Map(rows);
    this.digest.textContent = byLabel.get('parameters') || byLabel.get('command') || '';
    this.sent.hidden = !rows.length;
  }

  writeMetrics() {
    if (this.curvesVersion === this.store.curvesVersion) return;
    this.curvesVersion = this.store.curvesVersion;
    const panels = panelsOf(this.store.series).slice(0, MAX_PANELS);
    const drawn = new Set(panels.flatMap((panel) => panel.lines.map((one) => one.name)));
    for (const [title, chart] of this.charts) {
      if (!panels.some((panel) => panel.title === title)) {
        chart.dispose();
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

  /** Show the cards of tasks that were begun from this one below it, the newest first. */
  showLater() {
    for (const reference of this.store.model.get('later') || []) {
      if (this.later.has(reference)) continue;
      const place = make('div', '');
      this.later.set(reference, place);
      this.below.prepend(place);
      this.showOther(reference, place);
    }
  }

  async showOther(reference, place) {
    const manager = this.store.model.widget_manager;
    try {
      const model = await manager.get_model(reference.replace('IPY_MODEL_', ''));
      const view = await manager.create_view(model);
      if (!this.gone) place.append(view.el);
    } catch (error) {
      place.remove(); // the notice names the task, and how to see it
    }
  }

  dispose() {
    this.gone = true;
    this.log.dispose();
    for (const chart of this.charts.values()) chart.dispose();
    this.twin.dispose();
    this.store.listeners.delete(this.listener);
    clearInterval(this.clock);
    clearTimeout(this.asking);
    this.drawing.dispose();
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
