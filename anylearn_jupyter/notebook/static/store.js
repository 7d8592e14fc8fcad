// @ts-check
// What the page knows of a task, and its way to the kernel; the protocol is in ../widget.py.

import { LogStore } from './log_store.js';

const HELLO_MS = 5000; // after which a greeting is said again
const BUSY_MS = 2000; // after which a kernel that does not answer is called busy

export class Store {
  constructor(model) {
    this.model = model;
    this.log = new LogStore((message) => this.send(message), () => this.tell());
    this.series = new Map();
    this.curvesVersion = 0; // grows with each change of the series
    this.progress = null;
    this.seq = 0;
    this.skew = 0; // this clock minus the kernel's
    this.notice = '';
    this.good = false; // whether the notice is good news
    this.stopping = '';
    this.working = ''; // what the kernel was asked to do, beside stopping
    this.dead = false;
    this.retired = false;
    this.askedAt = 0;
    this.wasFinished = Boolean(this.state.finished);
    this.listeners = new Set();
    model.on('msg:custom', (message, buffers) => this.take(message, buffers));
    model.on('change:state', () => this.stateChanged());
    model.on('change:header', () => this.tell());
    model.on('change:later', () => this.tell());
    model.on('comm_live_update', () => this.checkAlive());
    this.hello();
  }

  get state() {
    return this.model.get('state') || {};
  }

  /** Say that something is new: news of the kernel's, or what the page itself has changed. */
  tell(news = false) {
    for (const listener of this.listeners) listener(news);
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
    this.working = '';
    this.tell();
  }

  hello() {
    if (Date.now() - this.askedAt < HELLO_MS) return;
    this.askedAt = Date.now();
    this.send({ k: 'hello' });
  }

  take(message, buffers) {
    if (message.k === 'news') this.takeNews(message);
    else if (message.k === 'notice') {
      this.notice = message.text;
      this.good = Boolean(message.good);
      this.stopping = '';
      this.working = '';
    } else if (message.k === 'stopping') this.stopping = 'told';
    else if (message.k === 'retired') this.retired = true;
    else this.log.take(message, buffers || []);
    this.tell(true);
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
    this.log.takeNews(message);
    for (const part of message.points) this.takePoints(part);
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

  /** Have the kernel do something that takes a while; its notice says how it went. */
  work(name, message) {
    if (this.working) return;
    this.working = name;
    this.notice = '';
    this.send(message);
    this.tell();
  }

  retry(changes) {
    this.work('retry', { k: 'retry', changes });
  }

  stateChanged() {
    if (this.state.finished && !this.wasFinished) {
      this.stopping = '';
      this.notice = '';
    }
    this.wasFinished = Boolean(this.state.finished);
    this.tell();
  }
}
