// @ts-check
// How many trainings of a table are in which state: a bar, and buttons that show only those.

import { PHASES } from './table_order.js';
import { make } from './words.js';

export class Counts {
  /**
   * @param {import('./table_store.js').TableStore} store
   * @param {import('./table_order.js').TableOrder} order
   * @param {() => void} filtered
   */
  constructor(store, order, filtered) {
    this.store = store;
    this.order = order;
    this.filtered = filtered;
    this.known = '';
    this.bar = make('div', 'anl-sweep-bar');
    this.bar.setAttribute('role', 'img');
    this.chips = make('div', 'anl-sweep-chips');
    this.chips.setAttribute('role', 'group');
    this.chips.setAttribute('aria-label', 'Show only');
  }

  update() {
    const { order } = this;
    const counts = new Map();
    for (const row of this.store.rows) if (row) counts.set(row.phase, (counts.get(row.phase) || 0) + 1);
    const known = JSON.stringify([...counts, order.phase]);
    if (known === this.known) return;
    this.known = known;
    const total = this.store.rows.length || 1;
    const focused = document.activeElement?.getAttribute?.('data-chip');
    this.chips.textContent = '';
    this.bar.textContent = '';
    const words = [];
    for (const [phase, word] of PHASES) {
      const number = counts.get(phase) || 0;
      if (!number && order.phase !== phase) continue;
      words.push(`${number} ${word}`);
      const part = make('span', 'anl-sweep-segment');
      part.dataset.phase = phase;
      part.style.width = `${(100 * number) / total}%`;
      if (counts.size) this.bar.append(part);
      const chip = make('button', 'anl-sweep-chip');
      chip.setAttribute('type', 'button');
      chip.dataset.phase = phase;
      chip.dataset.chip = phase;
      chip.setAttribute('aria-pressed', String(order.phase === phase));
      chip.title = order.phase === phase ? 'Show all again' : `Show only what is ${word}`;
      chip.append(make('b', '', number.toLocaleString('en')), ` ${word}`);
      chip.addEventListener('click', () => {
        order.phase = order.phase === phase ? '' : phase;
        this.filtered();
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
}
