// @ts-check
// What the page knows of a task's log, and how it asks for more; the protocol is in ../log_feed.py.

const KEPT = 100000; // lines that a page keeps
const AROUND = 400; // lines that are asked for beside those in sight
const PATIENCE_MS = 1000; // after which a question is asked while another has no answer
const ANSWER_MS = 5000; // after which a question is asked again

export class LogStore {
  /**
   * @param {(message: object) => boolean} send
   * @param {() => void} tell
   */
  constructor(send, tell) {
    this.send = send;
    this.tell = tell;
    this.lines = new Map(); // number to text
    this.stderr = new Set(); // of these lines
    this.stderrTotal = 0;
    this.total = 0; // finished lines there are
    this.held = 0; // the oldest that can be had
    this.open = '';
    this.error = null; // the number of the first error's line
    this.preview = null; // {lines, share} while the kernel reads a long log
    this.searches = { search: null, stderr: null };
    this.asks = 0;
    this.sight = [0, 0];
    this.asked = { key: '', at: 0 };
    this.saving = null;
    this.trouble = '';
  }

  /** Take what the kernel says of the log, with or without a question. */
  takeNews(message) {
    if (message.preview) {
      const lines = message.preview.text === null ? this.preview?.lines : message.preview.text.split('\n');
      this.preview = { lines: lines || [], share: message.preview.share };
    } else if (message.log) {
      this.preview = null;
    }
    if (message.log) this.takeLog(message.log);
    if (message.begin) {
      this.asked = { key: '', at: 0 };
      for (const [what, one] of Object.entries(this.searches)) {
        if (one) this.find(what, one.text, one.stderr);
      }
    }
  }

  take(message, buffers) {
    if (message.k === 'lines') {
      this.asked = { key: '', at: 0 };
      this.trouble = '';
      this.takeLog(message.log);
    } else if (message.k === 'found') this.takeFound(message);
    else if (message.k === 'finding') {
      const one = this.searches[message.what];
      if (one && one.id === message.id) one.share = message.share;
    } else if (message.k === 'chunk') this.takeChunk(message, buffers);
    else if (message.k === 'unread') this.takeTrouble(message);
  }

  takeTrouble(message) {
    this.trouble = message.text;
    if (message.what === 'chunk' && this.saving) this.endSaving('could not be saved');
    const one = this.searches[message.what];
    if (one) one.share = null;
  }

  takeLog(log) {
    if (log.count) {
      const lines = log.text.split('\n');
      for (let at = 0; at < log.count; at++) this.lines.set(log.first + at, lines[at]);
      for (const at of log.stderr) this.stderr.add(log.first + at);
    }
    this.total = Math.max(this.total, log.total);
    this.held = log.held;
    this.open = log.open;
    this.stderrTotal = log.stderr_total;
    if (log.error !== null) this.error = log.error;
    this.forget();
  }

  /** Let go of the lines that came first, but for those in sight, and of what nobody has any more. */
  forget() {
    let over = this.lines.size - KEPT;
    if (over <= 0 && this.held === 0) return;
    for (const number of this.lines.keys()) {
      const near = number >= this.sight[0] - AROUND && number < this.sight[1] + AROUND;
      if (number < this.held || (over > 0 && !near)) {
        this.lines.delete(number);
        this.stderr.delete(number);
        over -= 1;
      } else if (over <= 0) {
        return;
      }
    }
  }

  /** Ask for lines that are in sight and missing, a good deal around them too. */
  want(first, end) {
    const from = Math.max(this.held, first - AROUND);
    this.ask({ k: 'lines', first: from, end: Math.min(this.total, end + AROUND) });
  }

  /** Ask for single lines. */
  wantSome(numbers) {
    this.ask({ k: 'lines', numbers });
  }

  ask(message) {
    const key = JSON.stringify(message);
    const now = Date.now();
    const pause = key === this.asked.key ? ANSWER_MS : PATIENCE_MS;
    const wait = this.asked.at + pause - now;
    if (wait > 0) {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.tell(), wait + 50);
      return;
    }
    this.asked = { key, at: now };
    this.send(message);
  }

  // Searching. `what` is `search`, or `stderr` for the lines from standard error.

  find(what, text, stderr) {
    this.asks += 1;
    this.searches[what] = text || stderr
      ? { id: this.asks, text, stderr, numbers: [], count: 0, share: 0, done: false }
      : null;
    this.send({ k: 'find', what, id: this.asks, text, stderr });
    this.tell();
  }

  takeFound(message) {
    const one = this.searches[message.what];
    if (!one || one.id !== message.id) return;
    if (!message.more) {
      one.numbers = [];
      one.count = 0;
    }
    let number = 0;
    for (const step of message.steps) {
      number += step;
      one.numbers.push(number);
    }
    one.count += message.count;
    one.done = true;
    one.share = null;
  }

  // Saving: the browser's file is put together from pieces that the page asks for one by one.

  save(name) {
    if (this.saving) return;
    this.saving = { name, parts: [], cursor: null, done: 0, size: null, text: 'Saving…', timer: 0 };
    this.askChunk(0);
  }

  askChunk(tries) {
    const { saving } = this;
    clearTimeout(saving.timer);
    if (tries > 4 || !this.send({ k: 'chunk', cursor: saving.cursor })) {
      this.endSaving('The kernel does not answer');
      return;
    }
    saving.timer = setTimeout(() => this.askChunk(tries + 1), 2 * ANSWER_MS);
    this.tell();
  }

  takeChunk(message, buffers) {
    const { saving } = this;
    if (!saving || JSON.stringify(message.cursor) !== JSON.stringify(saving.cursor)) return;
    const data = buffers[0];
    // What is written meanwhile is left to the next time, else a busy task's would never end.
    if (saving.size === null) saving.size = message.size;
    if (data.byteLength) saving.parts.push(new Blob([data]));
    saving.cursor = message.next;
    saving.done += data.byteLength;
    if (saving.size) saving.text = `Saving… ${Math.floor((100 * saving.done) / saving.size)} %`;
    const whole = !data.byteLength || (saving.size !== null && saving.done >= saving.size);
    if (whole) this.finishSaving();
    else this.askChunk(0);
  }

  finishSaving() {
    const { saving } = this;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob(saving.parts, { type: 'text/plain;charset=utf-8' }));
    link.download = saving.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    this.endSaving('Saved');
  }

  endSaving(text) {
    clearTimeout(this.saving.timer);
    this.saving.text = text;
    this.saving.parts = [];
    this.tell();
    setTimeout(() => {
      this.saving = null;
      this.tell();
    }, 2500);
  }
}
