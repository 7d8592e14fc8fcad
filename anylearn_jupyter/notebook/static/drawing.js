// @ts-check
// When a view is drawn: once in each of the page's frames at most, however much comes.

export class Drawing {
  /** @param {() => void} draw */
  constructor(draw) {
    this.draw = draw;
    this.frame = 0; // of the page, that is waited for
    this.due = false; // whether there is something to draw with it
  }

  /** Draw with the page's next frame. */
  soon() {
    this.due = true;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.due) this.now();
    });
  }

  /**
   * Draw at once what has come, unless something was drawn since the last frame: then with the next
   * one. So news is not older in the page by the wait for a frame, and many draw no more often; a
   * page that is out of sight has no frames, and draws once.
   */
  now() {
    if (this.frame) {
      this.due = true;
      return;
    }
    // The frame before the drawing, which may itself ask to be drawn again.
    this.soon();
    this.due = false;
    this.draw();
  }

  dispose() {
    cancelAnimationFrame(this.frame);
  }
}
