// @ts-check
// The page side of a task's live card. Its kernel side is ../widget.py, which also joins the modules
// of this directory into the one that anywidget wants (so no name may stand in two of them).
//
// A `Store` holds what the page knows of a task, one for each model; a `View` draws it, one for each
// place where the card is shown.

import { Chart, panelsOf } from './curves.js';
import { LogPanel } from './log_panel.js';
import { Store } from './store.js';
import { clockText, durationText, make, numberText } from './words.js';

const SURE_MS = 4000; // how long "Really stop?" stands
const MAX_PANELS = 12;

class View {
  constructor(store, root) {
    this.store = store;
    this.root = root;
    this.charts = new Map();
    this.log = new LogPanel(store);
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
    this.cause = make('div', 'anl-cause');
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
    this.card.append(
      top, sub, this.notice, this.cause, this.progress, this.facts, this.values, this.pictures,
      this.log.element,
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
    this.writeCause(state.cause);
    this.writeProgress();
    this.writeFacts(header.rows || []);
    this.writeMetrics();
    this.log.update();
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
    this.facts.hidden = !rows.length;
  }

  writeMetrics() {
    if (this.curvesVersion === this.store.curvesVersion) return;
    this.curvesVersion = this.store.curvesVersion;
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
    this.log.dispose();
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
