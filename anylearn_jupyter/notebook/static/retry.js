// @ts-check
// The small form that submits a task again with other values.

import { make } from './words.js';

export class RetryForm {
  /**
   * @param {(changes: Record<string, string | null>) => void} submit
   * @param {() => void} closed
   */
  constructor(submit, closed) {
    this.submit = submit;
    this.closed = closed;
    this.fields = [];
    /** @type {Record<string, string>} What was submitted last, which may have been refused. */
    this.last = {};
    this.element = make('form', 'anl-retry');
    this.element.hidden = true;
    this.element.setAttribute('aria-label', 'Submit it again with other values');
    this.rows = make('div', 'anl-retry-fields');
    this.what = make('span', 'anl-retry-what anl-faint');
    const bar = make('div', 'anl-retry-bar');
    this.go = this.button('Submit', 'submit', 'anl-button anl-main');
    const cancel = this.button('Cancel', 'button', 'anl-button');
    cancel.addEventListener('click', () => this.close());
    bar.append(this.what, cancel, this.go);
    this.element.append(this.rows, bar);
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      this.last = this.changes();
      this.submit(this.changes());
      this.close();
    });
    this.element.addEventListener('input', () => this.say());
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close();
    });
  }

  button(text, type, look) {
    const made = make('button', look, text);
    made.setAttribute('type', type);
    return made;
  }

  /** Show a field for each parameter, with the value of then or the one that was tried last. */
  open(params) {
    this.rows.textContent = '';
    this.fields = params.map(([name, value]) => {
      const label = make('label', 'anl-retry-field');
      const word = make('span', 'anl-retry-name', name);
      word.title = name;
      const field = /** @type {HTMLInputElement} */ (make('input', 'anl-field'));
      field.type = 'text';
      field.value = this.last[name] ?? value;
      field.spellcheck = false;
      if (!value) field.placeholder = 'a flag';
      label.append(word, field);
      this.rows.append(label);
      return { name, value, field };
    });
    this.say();
    this.element.hidden = false;
    this.fields[0]?.field.focus();
  }

  close() {
    if (this.element.hidden) return;
    this.element.hidden = true;
    this.closed();
  }

  changes() {
    const changed = this.fields.filter(({ field, value }) => field.value !== value);
    return Object.fromEntries(changed.map(({ name, field }) => [name, field.value]));
  }

  say() {
    const names = Object.keys(this.changes());
    this.what.textContent = names.length ? `Changes ${names.join(', ')}.` : 'Nothing is changed yet.';
    for (const { field, value } of this.fields) {
      field.classList.toggle('anl-changed', field.value !== value);
    }
  }
}
