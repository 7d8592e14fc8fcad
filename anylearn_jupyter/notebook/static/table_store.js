// @ts-check
// What the page knows of the tasks of a table, and its way to the kernel; the protocol is in ../table_widget.py.

const ROWS_ANSWER_MS = 5000; // after which a question is asked again
const TABLE_BUSY_MS = 2000; // after which a kernel that does not answer is called busy
const ENDED = new Set(['succeeded', 'failed', 'aborted', 'lost', 'deleted', 'gone']);

export class TableStore {
  constructor(model) {
    this.model = model;
    this.rows = [];
    this.series = []; // {name, mode}
    this.choice = ''; // the metric that is shown until the reader chooses
    this.opened = null; // what is known of the open row
    this.openPlace = -1;
    this.card = null; // {p, model}: the newest card that the kernel made
    this.version = 0; // grows with each change of the rows
    this.seq = 0;
    this.kernelMs = 0; // when the kernel sent what is here, by its clock
    this.skew = 0; // this clock minus the kernel's
    this.notice = '';
    this.doing = false;
    this.dead = false;
    this.retired = false;
    this.askedAt = 0;
    this.listeners = new Set();
    model.on('msg:custom', (message) => this.take(message));
    model.on('change:header', () => this.tell());
    model.on('comm_live_update', () => {
      this.askedAt = 0;
      this.hello();
    });
    this.hello();
  }

  get header() {
    return this.model.get('header') || { names: [], title: '', total: 0 };
  }

  get unfinished() {
    return this.rows.filter((row) => row && !row.ended);
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
      this.dead = true;
      this.doing = false;
      this.tell();
      return false;
    }
  }

  hello() {
    if (Date.now() - this.askedAt < ROWS_ANSWER_MS) return;
    this.askedAt = Date.now();
    this.send({ k: 'hello' });
  }

  take(message) {
    if (message.k === 'rows') this.takeRows(message);
    else if (message.k === 'notice') {
      this.notice = message.text;
      this.doing = message.busy;
      this.answered = true;
    } else if (message.k === 'card') this.card = message;
    else if (message.k === 'retired') this.retired = true;
    this.tell();
  }

  takeRows(message) {
    this.kernelMs = message.now_ms;
    this.skew = Date.now() - message.now_ms;
    if (message.begin) {
      this.askedAt = 0;
      this.series = [];
      this.retired = false;
    } else if (message.seq !== this.seq + 1) {
      this.hello(); // something was lost on the way
    }
    this.seq = message.seq;
    for (const [name, mode] of message.series) this.series.push({ name, mode });
    this.choice = message.choice || '';
    for (const told of message.rows) {
      const known = this.rows[told.p] || { place: told.p, values: [], name: '', id: '' };
      if (told.id) {
        known.id = told.id;
        known.name = told.name;
        known.values = told.v;
        known.words = [told.name, ...told.v].join(' ').toLowerCase();
      }
      known.phase = told.s;
      known.ended = ENDED.has(told.s);
      known.outcome = told.w || '';
      known.share = told.f;
      known.began = told.a;
      known.endedAt = told.z;
      known.metrics = new Map(told.m.map(([at, last, low, high]) => [at, { last, low, high }]));
      this.rows[told.p] = known;
    }
    if (message.rows.length) this.version += 1;
    if (message.open) this.opened = message.open;
  }

  open(place) {
    this.openPlace = place;
    this.opened = null;
    this.send({ k: 'open', place: place < 0 ? null : place });
    this.tell();
  }

  ask(message) {
    this.notice = '';
    this.doing = true;
    this.answered = false;
    if (!this.send(message)) return;
    setTimeout(() => {
      if (this.answered || this.dead) return;
      this.notice =
        'The kernel is busy: this happens when the running cell ends. In another notebook, ' +
        `%anylearn_resume ${this.header.task} shows a table that can do it now.`;
      this.tell();
    }, TABLE_BUSY_MS);
    this.tell();
  }
}
