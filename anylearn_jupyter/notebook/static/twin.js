// @ts-check
// The twin beside a live view, which stands for it where there is none: hidden while there is one.

const TWIN_MS = 30000; // how long a view that is in no page yet is waited for

export class Twin {
  /**
   * @param {HTMLElement} root of the view
   * @param {string} id of what both show
   */
  constructor(root, id) {
    this.root = root;
    this.id = id;
    // At first the view is in no page yet; it is soon, and the twin comes after it.
    this.look(Date.now() + TWIN_MS);
  }

  look(until) {
    if (this.gone) return;
    this.hide();
    if (!this.area && Date.now() < until) setTimeout(() => this.look(until), 50);
  }

  hide() {
    const area = this.root.closest('.jp-OutputArea');
    for (const twin of area?.querySelectorAll(`[data-snap="${CSS.escape(this.id)}"]`) || []) {
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
        if (changes.some((change) => !this.root.contains(change.target))) this.hide();
      });
      this.watcher.observe(area, { childList: true, subtree: true });
    }
  }

  dispose() {
    this.gone = true;
    this.watcher?.disconnect();
    if (this.hidden) this.hidden.style.display = '';
  }
}
