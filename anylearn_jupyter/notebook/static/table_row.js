// @ts-check
// The row of a table that is open: why its training failed, its last lines, and, asked for, its card.

import { writeLine } from './colors.js';
import { count, make, makeReachable } from './words.js';

const CARD_TRIES = 20;
const CARD_WAIT_MS = 100;

export function button(text, className = '') {
  const made = make('button', `anl-button ${className}`.trim(), text);
  made.setAttribute('type', 'button');
  return made;
}

export class OpenRow {
  /** `acts.stop(row)` asks whether to stop it, `acts.close()` closes it. */
  constructor(store, acts) {
    this.store = store;
    this.acts = acts;
    this.element = make('section', 'anl-sweep-detail');
    this.element.setAttribute('aria-label', 'The training that is open');
    this.element.hidden = true;
    this.place = -1;
    this.id = '';
    this.opened = null; // what of the store is drawn
    this.cardView = null;
    this.cardNumber = 0; // of the newest card that was asked for
  }

  write() {
    const { store } = this;
    const row = store.rows[store.openPlace];
    this.element.hidden = !row;
    if (!row) {
      this.hideCard();
      this.place = -1;
      return;
    }
    if (this.place !== row.place || this.id !== row.id) this.build(row);
    this.stopButton.hidden = row.ended || this.cardView !== null; // the card has its own
    this.stopButton.disabled = store.dead || store.doing;
    this.cardButton.disabled = store.dead;
    if (store.card && store.card !== this.toldCard) {
      this.toldCard = store.card;
      if (store.card.p === row.place) this.showCard(store.card.model);
    }
    const { opened } = store;
    if (!opened || opened.p !== row.place || opened === this.opened) return;
    this.opened = opened;
    this.cause.hidden = !opened.cause.length;
    this.cause.textContent = opened.cause.join('\n');
    const lines = opened.lines.length;
    this.logTitle.textContent = lines
      ? `Log, the last ${lines} of ${count(opened.count, 'line')}`
      : 'Nothing written yet.';
    this.lines.textContent = '';
    for (const text of opened.lines) {
      const line = make('div', 'anl-sweep-line');
      writeLine(line, text);
      this.lines.append(line);
    }
    this.lines.hidden = !lines;
  }

  build(row) {
    this.hideCard();
    this.place = row.place;
    this.id = row.id;
    this.opened = null;
    this.element.textContent = '';
    const top = make('div', 'anl-sweep-detailtop');
    const close = button('Close');
    close.addEventListener('click', () => this.acts.close());
    this.stopButton = button('Stop this one', 'anl-stop');
    this.stopButton.addEventListener('click', () => this.acts.stop(row));
    this.cardButton = button('Show its card');
    this.cardButton.setAttribute('aria-expanded', 'false');
    this.cardButton.addEventListener('click', () => this.toggleCard());
    const spring = make('span', 'anl-sweep-spring');
    top.append(make('b', 'anl-sweep-name', row.name), spring, this.cardButton, this.stopButton, close);
    this.cause = make('pre', 'anl-sweep-cause');
    this.cause.hidden = true;
    this.logTitle = make('div', 'anl-faint', 'Log …');
    this.lines = make('div', 'anl-sweep-lines');
    makeReachable(this.lines);
    this.lines.setAttribute('role', 'log');
    this.lines.setAttribute('aria-live', 'off');
    this.lines.setAttribute('aria-label', 'Last lines of the log');
    this.lines.hidden = true;
    this.short = make('div');
    this.short.append(make('code', 'anl-sweep-id', row.id), this.cause, this.logTitle, this.lines);
    this.cardPlace = make('div', 'anl-sweep-card');
    this.element.append(top, this.short, this.cardPlace);
  }

  toggleCard() {
    if (this.cardView) {
      this.hideCard();
      this.store.send({ k: 'card', place: null });
    } else {
      this.store.send({ k: 'card', place: this.place });
    }
  }

  /** Draw the card, a widget of its own, which the kernel has just made. */
  async showCard(modelId) {
    const number = (this.cardNumber += 1);
    const { cardPlace } = this;
    const manager = this.store.model.widget_manager;
    let model = null;
    for (let left = CARD_TRIES; !model && left; left--) {
      // The message that makes the model may still be on its way through the page.
      model = await manager.get_model(modelId).catch(() => null);
      if (!model) await new Promise((resolve) => setTimeout(resolve, CARD_WAIT_MS));
    }
    if (!model) return;
    const view = await manager.create_view(model);
    if (number !== this.cardNumber || cardPlace !== this.cardPlace) {
      view.remove();
      return;
    }
    this.cardView = view;
    this.stopButton.hidden = true;
    cardPlace.append(view.el);
    this.short.hidden = true;
    this.cardButton.textContent = 'Hide its card';
    this.cardButton.setAttribute('aria-expanded', 'true');
  }

  hideCard() {
    this.cardNumber += 1;
    if (!this.cardView) return;
    this.cardView.remove();
    this.cardView = null;
    this.short.hidden = false;
    this.cardButton.textContent = 'Show its card';
    this.cardButton.setAttribute('aria-expanded', 'false');
  }

  dispose() {
    this.hideCard();
  }
}
