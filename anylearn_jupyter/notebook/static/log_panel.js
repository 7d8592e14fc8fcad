// @ts-check
// The log with what stands above it: how long it is, search, filter, first error, saving, following.

import { LogPane } from './log.js';
import { count, make } from './words.js';

const TYPING_MS = 250; // after which what was typed is searched

export class LogPanel {
  /**
   * @param {import('./store.js').Store} store
   */
  constructor(store) {
    this.store = store;
    this.log = store.log;
    this.pane = new LogPane(store.log);
    this.hit = -1; // the line of the match that one is at
    this.build();
    this.pane.onFollow = () => this.writeFollow();
    this.writeFollow();
  }

  build() {
    this.element = make('div', 'anl-logpanel');
    // In a notebook single keys are commands to it; here they are not.
    this.element.addEventListener('keydown', (event) => event.stopPropagation());
    this.title = make('span', 'anl-log-title anl-faint');
    this.input = /** @type {HTMLInputElement} */ (make('input', 'anl-log-search'));
    this.input.type = 'search';
    this.input.placeholder = 'Search the log';
    this.input.setAttribute('aria-label', 'Search the log');
    this.input.spellcheck = false;
    this.input.addEventListener('input', () => this.typed());
    this.input.addEventListener('keydown', (event) => this.pressed(event));
    this.found = make('span', 'anl-log-found anl-faint');
    this.found.setAttribute('role', 'status');
    this.previous = this.button('↑', 'Previous match', () => this.step(-1));
    this.next = this.button('↓', 'Next match', () => this.step(1));
    this.stderr = this.button('stderr', 'Show only what was written to standard error', () =>
      this.filter(!this.pane.filters));
    this.error = this.button('First error', 'Go to the first line that tells of an error', () =>
      this.goTo(this.log.error));
    this.download = this.button('Download', 'Save the whole log to a file', () =>
      this.log.save(`${this.store.model.get('task_id')}.log`));
    this.follow = this.button('Follow', 'Keep the newest line in sight', () =>
      this.pane.follow(!this.pane.follows));
    const search = make('span', 'anl-log-find');
    search.setAttribute('role', 'search');
    search.append(this.input, this.found, this.previous, this.next);
    const buttons = make('span', 'anl-log-buttons');
    buttons.append(this.stderr, this.error, this.download, this.follow);
    this.bar = make('div', 'anl-logbar');
    this.bar.append(this.title, search, buttons);
    this.element.append(this.bar, this.pane.element);
  }

  button(text, title, clicked) {
    const made = /** @type {HTMLButtonElement} */ (make('button', 'anl-button anl-small', text));
    made.type = 'button';
    made.title = title;
    if (text.length === 1) made.setAttribute('aria-label', title);
    made.addEventListener('click', clicked);
    return made;
  }

  dispose() {
    clearTimeout(this.typing);
    this.pane.dispose();
  }

  // Searching.

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.search(), TYPING_MS);
  }

  search() {
    clearTimeout(this.typing);
    this.hit = -1;
    this.pane.current = -1;
    this.pane.needle = this.input.value.toLowerCase();
    this.log.find('search', this.input.value, Boolean(this.input.value) && this.pane.filters);
  }

  pressed(event) {
    if (event.key === 'Enter') {
      if ((this.log.searches.search?.text || '') !== this.input.value) this.search();
      else this.step(event.shiftKey ? -1 : 1);
    } else if (event.key === 'Escape') {
      this.input.value = '';
      this.search();
    } else {
      return;
    }
    event.preventDefault();
  }

  step(by) {
    const numbers = this.log.searches.search?.numbers || [];
    if (!numbers.length) return;
    const at = numbers.indexOf(this.hit);
    const next = at < 0 ? (by > 0 ? 0 : -1) : at + by;
    this.hit = numbers[(next + numbers.length) % numbers.length];
    this.pane.jump(this.hit);
    this.writeFound();
  }

  /** Go to the first match after what is in sight, or else to the last one. */
  begin(numbers) {
    const from = this.pane.firstInSight;
    this.hit = numbers.find((number) => number >= from) ?? numbers[numbers.length - 1];
    this.pane.jump(this.hit);
  }

  // Filter, first error.

  filter(on) {
    this.log.find('stderr', '', on);
    this.pane.filter(on);
    if (this.input.value) this.search();
    this.update();
  }

  goTo(number) {
    if (number === null) return;
    if (this.pane.filters && !this.log.searches.stderr?.numbers.includes(number)) {
      this.filter(false);
    }
    this.pane.jump(number);
  }

  // Drawing.

  update() {
    const { log, store } = this;
    const finished = Boolean(store.state.finished);
    const lines = log.total + (log.open ? 1 : 0);
    const search = log.searches.search;
    if (search?.done && this.hit < 0 && search.numbers.length) this.begin(search.numbers);
    this.writeTitle(lines);
    this.writeFound();
    this.stderr.hidden = !log.stderrTotal && !this.pane.filters;
    this.stderr.setAttribute('aria-pressed', String(this.pane.filters));
    this.error.disabled = log.error === null || Boolean(log.preview);
    this.error.hidden = log.error === null && !finished;
    this.download.disabled = Boolean(log.saving) || store.dead || !(lines || log.preview);
    this.download.textContent = log.saving ? log.saving.text : 'Download';
    this.follow.hidden = finished && !log.preview; // nothing more comes
    this.pane.element.classList.toggle('anl-empty', !this.pane.count);
    this.pane.element.dataset.empty = finished ? 'It wrote nothing.' : 'Nothing written yet.';
    if (this.pane.filters) this.pane.element.dataset.empty = 'Nothing written to standard error.';
    this.pane.update();
  }

  writeTitle(lines) {
    const { log } = this;
    let title = lines ? `Log, ${count(lines, 'line')}` : 'Log';
    if (log.preview) {
      const share = log.preview.share === null ? '' : ` ${Math.floor(100 * log.preview.share)} %`;
      title = `Log: its end; reading what is before it…${share}`;
    } else if (this.pane.filters) {
      const shown = log.searches.stderr?.numbers.length || 0;
      title = `${shown < log.stderrTotal ? 'The newest ' : ''}${count(shown, 'line')} to stderr`;
    } else if (log.held > 0) {
      const id = this.store.model.get('task_id');
      title += `; the first ${log.held.toLocaleString('en')} are in %anylearn_logs ${id}`;
    }
    if (log.trouble) title = `Not read: ${log.trouble}`;
    if (this.title.textContent !== title) this.title.textContent = title;
  }

  writeFound() {
    const search = this.log.searches.search;
    let text = '';
    if (search && !search.done) {
      text = search.share ? `searching… ${Math.floor(100 * search.share)} %` : 'searching…';
    } else if (search && !search.count) {
      text = 'not found';
    } else if (search) {
      const at = search.numbers.indexOf(this.hit) + 1 + search.count - search.numbers.length;
      text = `${at.toLocaleString('en')} of ${search.count.toLocaleString('en')}`;
    }
    if (this.found.textContent !== text) this.found.textContent = text;
    const none = !search || !search.numbers.length;
    for (const button of [this.previous, this.next]) button.hidden = none;
  }

  writeFollow() {
    this.follow.setAttribute('aria-pressed', String(this.pane.follows));
  }
}
