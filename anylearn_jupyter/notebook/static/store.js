// @ts-check
// What the page knows of a task, and its way to the kernel; the protocol is in ../widget.py.

const KEPT = 100000; // lines that a page keeps
const AROUND = 400; // lines that are asked for beside those in sight
const ANSWER_MS = 5000; // after which a question is asked again
const BUSY_MS = 2000; // after which a kernel that does not answer is called busy

export class Store {
  constructor(model) {
    this.model = model;
    this.lines = new Map();
    this.total = 0; // finished lines there are
    this.held = 0; // the oldest that the kernel has
    this.oldest = 0; // the oldest that this page keeps
    this.open = '';
    this.series = new Map();
    this.curvesVersion = 0; // grows with each change of the series
    this.progress = null;
    this.seq = 0;
    this.skew = 0; // this clock minus the kernel's
    this.notice = '';
    this.stopping = '';
    this.dead = false;
    this.retired = false;
    this.askedAt = 0;
    this.linesAskedAt = 0;
    this.listeners = new Set();
    model.on('msg:custom', (message) => this.take(message));
    model.on('change:state', () => this.stateChanged());
    model.on('change:header', () => this.tell());
    model.on('comm_live_update', () => this.checkAlive());
    this.hello();
  }

  get state() {
    return this.model.get('state') || {};
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  send(message) {
    if (this.dead) return false;
    try {
      this.model.send(message);
      return true;
    } catch (error) {
      this.die();
      return false;
    }
  }

  /** The way to the kernel has changed: it was restarted or has ended, or is there again. */
  checkAlive() {
    this.askedAt = 0;
    this.hello();
  }

  die() {
    this.dead = true;
    this.stopping = '';
    this.tell();
  }

  hello() {
    if (Date.now() - this.askedAt < ANSWER_MS) return;
    this.askedAt = Date.now();
    this.send({ k: 'hello' });
  }

  take(message) {
    if (message.k === 'news') this.takeNews(message);
    else if (message.k === 'lines') this.takeAnswer(message);
    else if (message.k === 'notice') {
      this.notice = message.text;
      this.stopping = '';
    } else if (message.k === 'stopping') this.stopping = 'told';
    else if (message.k === 'retired') this.retired = true;
    this.tell();
  }

  takeNews(message) {
    this.skew = Date.now() - message.now_ms;
    if (message.begin) {
      this.askedAt = 0;
      this.series.clear();
      this.curvesVersion += 1;
      this.retired = false;
    } else if (message.seq !== this.seq + 1) {
      this.hello(); // something was lost on the way
    }
    this.seq = message.seq;
    this.progress = message.progress;
    if (message.log) this.takeLog(message.log);
    for (const part of message.points) this.takePoints(part);
  }

  takeAnswer(message) {
    this.linesAskedAt = 0;
    this.takeLog(message.log);
  }

  takeLog(log) {
    if (log.count) {
      const lines = log.text.split('\n');
      for (let at = 0; at < log.count; at++) this.lines.set(log.first + at, lines[at]);
    }
    this.total = log.total;
    this.held = log.held;
    this.open = log.open;
    const oldest = Math.max(this.held, this.total - KEPT);
    if (oldest > this.oldest) {
      if (oldest - this.oldest < 4 * this.lines.size) {
        for (let at = this.oldest; at < oldest; at++) this.lines.delete(at);
      } else {
        for (const at of this.lines.keys()) if (at < oldest) this.lines.delete(at);
      }
      this.oldest = oldest;
    }
  }

  takePoints(part) {
    let one = this.series.get(part.name);
    if (!one) {
      one = { name: part.name, points: [], last: null };
      this.series.set(part.name, one);
    }
    if (part.start <= one.points.length) one.points.length = part.start;
    for (const point of part.points) one.points.push(point);
    one.last = part.last;
    this.curvesVersion += 1;
  }

  /** Ask for lines that are in sight and missing, a good deal around them too. */
  want(first, end) {
    if (Date.now() - this.linesAskedAt < ANSWER_MS) return;
    this.linesAskedAt = Date.now();
    const from = Math.max(this.oldest, first - AROUND);
    this.send({ k: 'lines', first: from, end: Math.min(this.total, end + AROUND) });
  }

  stop() {
    this.stopping = 'asked';
    this.notice = '';
    if (!this.send({ k: 'stop' })) return;
    setTimeout(() => {
      if (this.stopping !== 'asked') return;
      this.notice =
        'The kernel is busy: the task is stopped when the running cell ends. In another notebook, ' +
        `%anylearn_stop ${this.model.get('task_id')} stops it now.`;
      this.tell();
    }, BUSY_MS);
    this.tell();
  }

  stateChanged() {
    if (this.state.finished) {
      this.stopping = '';
      this.notice = '';
    }
    this.tell();
  }
}
