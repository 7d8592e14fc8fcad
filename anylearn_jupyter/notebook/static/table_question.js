// @ts-check
// What a table asks before it stops or submits trainings.

import { button } from './table_row.js';
import { make } from './words.js';

export class Question {
  /** @param {string} prefix of the ids in this table */
  constructor(prefix) {
    this.element = make('div', 'anl-sweep-confirm');
    this.element.setAttribute('role', 'alertdialog');
    this.element.setAttribute('aria-labelledby', `${prefix}-question`);
    this.words = make('span', 'anl-sweep-question');
    this.words.id = `${prefix}-question`;
    this.yes = button('', 'anl-sweep-yes');
    this.no = button('Keep as it is');
    this.yes.addEventListener('click', () => {
      const { act } = this;
      this.close();
      act();
    });
    this.no.addEventListener('click', () => this.close());
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        this.close();
      }
    });
    this.element.append(this.words, this.yes, this.no);
    this.element.hidden = true;
  }

  /** Ask; `act` is what a yes does, and the focus goes back to `from`. */
  ask(text, yes, act, from) {
    this.words.textContent = text;
    this.yes.textContent = yes;
    this.act = act;
    this.askedFrom = from;
    this.element.hidden = false;
    this.no.focus();
  }

  close() {
    this.element.hidden = true;
    this.askedFrom?.focus?.();
  }
}
