/**
 * The page side of a form that no control of ipywidgets has: what stands below each control (what it
 * takes, what is wrong with it), the cell that the form stands for with a button that copies it, and
 * the names by which a screen reader finds all that.
 *
 * Controls are found by a class that the kernel gave them. Every text is set as text.
 */

const COPIED_MS = 2500;
const LOOK_MS = 5000; // before what is free is asked for again
const DEAD =
  'The kernel of this form has ended, so it stands still. Run its cell again, or copy the cell below, ' +
  'which has all that was filled in.';

function made(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

class FormPanel {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.gone = false;
    this.dead = false;
    this.lookedAt = Date.now();
    this.build();
    this.answers = {
      'change:hints': () => this.decorate(),
      'change:errors': () => this.decorate(),
      'change:required': () => this.decorate(),
      'change:cell': () => this.showCell(),
      'change:problems': () => this.showProblems(),
      comm_live_update: () => this.checkAlive(),
    };
    for (const [event, answer] of Object.entries(this.answers)) model.on(event, answer);
    this.showCell();
    this.showProblems();
    this.find();
  }

  build() {
    this.el.classList.add('anl-form-panel');
    this.problems = made('ul', 'anl-form-problems');
    this.problems.setAttribute('role', 'status');
    const head = made('div', 'anl-form-cell-head');
    const title = made('span', 'anl-form-cell-title', 'The same as a cell');
    this.copy = made('button', 'anl-form-copy', 'Copy cell');
    this.copy.type = 'button';
    this.copy.addEventListener('click', () => this.copyCell());
    this.said = made('span', 'anl-form-said');
    this.said.setAttribute('role', 'status');
    head.append(title, this.said, this.copy);
    this.cell = made('pre', 'anl-form-cell');
    this.cell.tabIndex = 0;
    this.cell.setAttribute('role', 'region');
    this.cell.setAttribute('aria-label', 'The cell that this form stands for');
    this.el.append(this.problems, head, this.cell);
  }

  showCell() {
    this.cell.textContent = this.model.get('cell');
  }

  /** The way to the kernel has changed: it was restarted or has ended, or is there again. */
  checkAlive() {
    try {
      this.model.send({ k: 'hello' });
      this.dead = false;
    } catch {
      this.dead = true;
    }
    this.showProblems();
  }

  showProblems() {
    const problems = this.dead ? [{ kind: 'error', text: DEAD }] : this.model.get('problems');
    this.problems.replaceChildren(
      ...problems.map(({ kind, text }) => {
        const item = made('li', `anl-form-problem anl-form-${kind}`, text);
        return item;
      }),
    );
  }

  async copyCell() {
    const text = this.model.get('cell');
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      done = this.copyOldWay(text);
    }
    this.said.textContent = done ? 'Copied' : 'Could not copy; select the text below';
    setTimeout(() => (this.said.textContent = ''), COPIED_MS);
  }

  /** Copy where the page may not write to the clipboard by itself, as over plain http. */
  copyOldWay(text) {
    const area = made('textarea', 'anl-form-copied');
    area.value = text;
    this.el.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    this.copy.focus();
    return done;
  }

  /** Find the form around this panel, which is in no page yet, and keep its controls decorated. */
  find() {
    if (this.gone) return;
    const form = this.el.closest('.anl-form');
    if (!form) {
      setTimeout(() => this.find(), 30);
      return;
    }
    this.form = form;
    this.watcher = new MutationObserver((changes) => {
      if (changes.some((change) => !this.isOurs(change))) this.decorateSoon();
    });
    this.watcher.observe(form, { childList: true, subtree: true });
    // Not from the controls of the resources, which then would change below the reader's hands.
    const look = (event) => event.target.closest?.('.anl-form-resources') || this.look();
    form.addEventListener('pointerenter', look);
    form.addEventListener('focusin', look);
    this.decorate();
    this.hideTwin();
  }

  /** Ask what is free now, for who comes back to the form. */
  look() {
    if (this.dead || Date.now() - this.lookedAt < LOOK_MS) return;
    this.lookedAt = Date.now();
    try {
      this.model.send({ k: 'look' });
    } catch {
      this.checkAlive();
    }
  }

  isOurs(change) {
    const nodes = [...change.addedNodes, ...change.removedNodes];
    return (
      this.el.contains(change.target) ||
      change.target.closest?.('.anl-card, .anl-sweep') ||
      (nodes.length > 0 && nodes.every((node) => node.classList?.contains('anl-form-hint')))
    );
  }

  /** Decorate once for all controls that come within a moment. */
  decorateSoon() {
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => {
      this.waiting = false;
      if (!this.gone) this.decorate();
    }, 20);
  }

  decorate() {
    if (!this.form) return;
    const hints = this.model.get('hints');
    const errors = this.model.get('errors');
    const required = new Set(this.model.get('required'));
    for (const control of this.form.querySelectorAll('.anl-field')) {
      const name = [...control.classList].find((one) => one.startsWith('anl-f-'));
      if (name) this.decorateOne(control, name, hints[name] || '', errors[name] || '', required);
    }
    for (const one of this.form.querySelectorAll('select, input[type="checkbox"], button')) {
      // Else their keys (arrows, letters) would be JupyterLab's, which moves and cuts cells by them.
      if (!one.closest('.anl-card, .anl-sweep')) one.dataset.lmSuppressShortcuts = 'true';
    }
    for (const section of this.form.querySelectorAll('.anl-form-section')) {
      const title = section.querySelector('h3');
      if (title) {
        section.setAttribute('role', 'group');
        section.setAttribute('aria-label', title.textContent);
      }
    }
  }

  decorateOne(control, name, hint, error, required) {
    const input = control.querySelector('input, select, textarea');
    if (!input) return;
    let below = control.querySelector(':scope > .anl-form-hint');
    if (!below) {
      below = made('div', 'anl-form-hint');
      below.id = `${this.model.get('form_id')}-${name}-${Math.random().toString(36).slice(2, 8)}`;
      control.append(below);
      input.setAttribute('aria-describedby', below.id);
      if (input.tagName !== 'SELECT' && input.type !== 'checkbox') input.spellcheck = false;
    }
    const text = error || hint;
    if (below.textContent !== text) below.textContent = text;
    below.title = error ? '' : hint;
    below.classList.toggle('anl-form-error', error !== '');
    control.classList.toggle('anl-form-wrong', error !== '');
    control.classList.toggle('anl-form-required', required.has(name));
    input.setAttribute('aria-invalid', String(error !== ''));
    if (required.has(name)) input.setAttribute('aria-required', 'true');
  }

  /** Hide the static twin, which stands for the form where there are no widgets. */
  hideTwin() {
    const id = this.model.get('form_id');
    const hide = () => {
      const area = this.el.closest('.jp-OutputArea');
      for (const twin of area?.querySelectorAll(`[data-snap="${CSS.escape(id)}"]`) || []) {
        const output = twin.closest('.jp-OutputArea-child');
        if (output instanceof HTMLElement) output.style.display = 'none';
      }
      return area;
    };
    const area = hide();
    if (area) {
      this.twinWatcher = new MutationObserver((changes) => {
        if (changes.some((change) => !this.form.contains(change.target))) hide();
      });
      this.twinWatcher.observe(area, { childList: true, subtree: true });
    }
  }

  remove() {
    this.gone = true;
    this.watcher?.disconnect();
    this.twinWatcher?.disconnect();
    for (const [event, answer] of Object.entries(this.answers)) this.model.off(event, answer);
  }
}

export default {
  render({ model, el }) {
    const panel = new FormPanel(model, el);
    return () => panel.remove();
  },
};
