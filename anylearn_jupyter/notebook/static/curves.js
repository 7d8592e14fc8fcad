// @ts-check
// Metric curves: the same panels as ../curves.py draws into the twin.

import { draw, make, makeReachable, numberText } from './words.js';

const COLORS = ['#2f7ed8', '#d9662b', '#2a9d5c', '#b04fc4', '#a8841a', '#d64550'];
// Lines are told apart without their colours, too.
const DASHES = ['', '7 3', '2 3', '10 3 2 3', '4 2', '1 4'];
const HEIGHT = 176;
const SMOOTH_FROM = 20; // points, from which smoothing is of use
const WEIGHT = 0.9; // of what came before in a smoothed line
const PREFIXES = ['train', 'training', 'val', 'valid', 'validation', 'test', 'eval', 'dev'];

function baseName(name) {
  for (const mark of ['/', '_', '.', '-']) {
    const at = name.indexOf(mark);
    if (at > 0 && at < name.length - 1 && PREFIXES.includes(name.slice(0, at).toLowerCase())) {
      return name.slice(at + 1);
    }
  }
  return name;
}

export function panelsOf(series) {
  const found = new Map();
  for (const one of series.values()) {
    const { points, last } = one;
    const end = points[points.length - 1];
    const all = last && end && last[0] !== end[0] ? [...points, last] : points;
    if (all.length < 2) continue;
    const title = baseName(one.name);
    if (!found.has(title)) found.set(title, []);
    found.get(title).push({ name: one.name, points: all });
  }
  return [...found].map(([title, lines]) => ({ title, lines: lines.slice(0, COLORS.length) }));
}

function ticksOf(low, high, wanted, least) {
  const rough = (0.75 * (high - low)) / wanted;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const round = [1, 2, 5, 10].map((n) => n * magnitude).find((n) => n >= rough) ?? rough;
  const width = Math.max(round, least); // epochs stay whole
  const ticks = [];
  for (let n = Math.ceil(low / width); n * width <= high + width * 1e-9; n++) {
    ticks.push(n * width);
    if (ticks.length > 2 * wanted) break;
  }
  return ticks;
}

function rangeOf(numbers) {
  let low = Infinity;
  let high = -Infinity;
  for (const number of numbers) {
    if (number < low) low = number;
    if (number > high) high = number;
  }
  if (high - low <= Math.max(Math.abs(low), Math.abs(high)) * 1e-12 + 1e-290) {
    const margin = Math.abs(low) > 1e-280 ? Math.abs(low) * 0.1 : 1;
    return [low - margin, high + margin];
  }
  return [low, high];
}

/** Powers of ten, or what a linear axis would have where there are too few of them. */
function logTicksOf(low, high) {
  const [first, last] = [Math.ceil(low - 1e-9), Math.floor(high + 1e-9)];
  if (last - first < 1) {
    return ticksOf(10 ** low, 10 ** high, 4, 0).filter((n) => n > 0);
  }
  const ticks = [];
  for (let n = first; n <= last; n += Math.ceil((last - first) / 5)) ticks.push(10 ** n);
  return ticks;
}

/** The mean of a point and those before it, the older the less. */
function smoothed(points) {
  let sum = 0;
  let weight = 0;
  return points.map(([step, value]) => {
    sum = WEIGHT * sum + (1 - WEIGHT) * value;
    weight = WEIGHT * weight + (1 - WEIGHT);
    return [step, sum / weight];
  });
}

function nearest(points, distance) {
  return points.reduce((best, p) => (distance(p) < distance(best) ? p : best));
}

/** Leave some air above and below a curve. */
function wider([low, high]) {
  const air = (high - low) * 0.04;
  return [low - air, high + air];
}

/** One chart; it is drawn anew with each news, which is cheap at these sizes. */
export class Chart {
  constructor(title) {
    this.title = title;
    this.lines = [];
    this.items = new Map(); // series name to its place in the legend
    this.hidden = new Set(); // names of series that the reader took away
    this.isLog = false;
    this.isSmooth = false;
    this.step = null; // the pointer's, or the arrow keys'
    this.width = 0;
    this.build();
    this.sizes = new ResizeObserver(() => {
      if (this.plot.clientWidth !== this.width) this.draw();
    });
    this.sizes.observe(this.plot);
  }

  dispose() {
    this.sizes.disconnect();
  }

  build() {
    this.element = make('figure', 'anl-chart');
    const caption = make('figcaption', 'anl-legend');
    this.names = make('span', 'anl-legend-names');
    this.at = make('span', 'anl-at');
    this.smooth = this.toggle('smooth', 'Show a moving mean', () => (this.isSmooth = !this.isSmooth));
    this.log = this.toggle('log scale', 'Logarithmic scale for the values', () => (this.isLog = !this.isLog));
    const tools = make('span', 'anl-chart-tools');
    tools.append(this.at, this.smooth, this.log);
    caption.append(this.names, tools);
    this.plot = make('div', 'anl-plot');
    makeReachable(this.plot);
    this.plot.setAttribute('role', 'slider');
    this.plot.setAttribute('aria-label', `${this.title} by step`);
    this.picture = draw('svg', { 'aria-hidden': 'true', height: HEIGHT });
    this.plot.append(this.picture);
    this.element.append(caption, this.plot);
    this.plot.addEventListener('pointermove', (event) => this.point(event));
    this.plot.addEventListener('pointerleave', () => this.show(null));
    this.plot.addEventListener('blur', () => this.show(null));
    this.plot.addEventListener('keydown', (event) => this.pressed(event));
  }

  toggle(text, title, change) {
    const made = make('button', 'anl-button anl-small', text);
    made.setAttribute('type', 'button');
    made.setAttribute('aria-pressed', 'false');
    made.title = title;
    made.addEventListener('click', () => {
      change();
      this.draw();
    });
    return made;
  }

  update(lines) {
    this.lines = lines.map((one, number) => ({ ...one, number }));
    for (const one of this.lines) if (!this.items.has(one.name)) this.addItem(one);
    this.draw();
  }

  /** Name a series; a click takes it away, another one brings it back. */
  addItem({ name, number }) {
    const item = make('button', 'anl-legend-item');
    item.setAttribute('type', 'button');
    const mark = draw('svg', { class: 'anl-mark', width: 18, height: 10, 'aria-hidden': 'true' });
    const look = { stroke: COLORS[number], 'stroke-dasharray': DASHES[number], 'stroke-width': 2.5 };
    mark.append(draw('path', { d: 'M0 5H18', ...look }));
    const word = make('span', 'anl-name', name);
    const value = make('b', '');
    item.title = `${name}: show or hide`;
    item.setAttribute('aria-pressed', 'true');
    item.append(mark, word, value);
    item.addEventListener('click', () => {
      const hide = !this.hidden.has(name);
      if (hide) this.hidden.add(name);
      else this.hidden.delete(name);
      item.setAttribute('aria-pressed', String(!hide));
      this.draw();
    });
    this.items.set(name, value);
    this.names.append(item);
  }

  // Drawing.

  draw() {
    this.width = this.plot.clientWidth || 340;
    const shown = this.lines.filter((one) => !this.hidden.has(one.name));
    this.shown = shown.length ? shown : this.lines.slice(0, 1);
    const above = this.lines.every((one) => one.points.every((p) => p[1] > 0));
    this.log.hidden = !above;
    this.smooth.hidden = this.lines.every((one) => one.points.length < SMOOTH_FROM);
    const isLog = this.isLog && above;
    this.log.setAttribute('aria-pressed', String(isLog));
    this.smooth.setAttribute('aria-pressed', String(this.isSmooth));
    this.picture.setAttribute('viewBox', `0 0 ${this.width} ${HEIGHT}`);
    this.picture.setAttribute('width', String(this.width));
    const parts = this.axes(isLog);
    for (const one of shown) parts.push(...this.curve(one));
    this.cross = draw('g', {});
    this.picture.replaceChildren(...parts, this.cross);
    this.write();
  }

  /** Lay out the axes for what is shown, and give what draws them. */
  axes(isLog) {
    const [left, right, top, bottom] = [46, this.width - 8, 8, HEIGHT - 34];
    const bounded = (n) => Math.max(-1e300, Math.min(n, 1e300));
    const height = (n) => (isLog ? Math.log10(bounded(n)) : bounded(n));
    const xs = rangeOf(this.shown.flatMap((one) => one.points.map((p) => bounded(p[0]))));
    const ys = wider(rangeOf(this.shown.flatMap((one) => one.points.map((p) => height(p[1])))));
    this.x = (n) => left + ((bounded(n) - xs[0]) / (xs[1] - xs[0])) * (right - left);
    this.y = (n) => bottom - ((height(n) - ys[0]) / (ys[1] - ys[0])) * (bottom - top);
    const whole = this.shown.every((one) => one.points.every((p) => Number.isInteger(p[0])));
    const parts = [];
    for (const tick of isLog ? logTicksOf(ys[0], ys[1]) : ticksOf(ys[0], ys[1], 4, 0)) {
      const y = this.y(tick).toFixed(1);
      parts.push(draw('path', { d: `M${left} ${y}H${right}`, class: 'anl-grid' }));
      const at = { x: left - 6, y: Number(y) + 4, 'text-anchor': 'end' };
      parts.push(draw('text', at, numberText(tick)));
    }
    const wanted = Math.max(3, Math.min(10, Math.floor(this.width / 80)));
    for (const tick of ticksOf(xs[0], xs[1], wanted, whole ? 1 : 0)) {
      const x = this.x(tick);
      const at = { x: x.toFixed(1), y: bottom + 15, 'text-anchor': x > right - 12 ? 'end' : 'middle' };
      parts.push(draw('text', at, numberText(tick)));
    }
    parts.push(draw('path', { d: `M${left} ${top}V${bottom}H${right}`, class: 'anl-axis' }));
    const middle = { x: (left + right) / 2, y: bottom + 30, 'text-anchor': 'middle' };
    parts.push(draw('text', middle, isLog ? 'step (log scale)' : 'step'));
    return parts;
  }

  curve({ points, number }) {
    const look = { stroke: COLORS[number], 'stroke-dasharray': DASHES[number] };
    const path = (all) => all.map((p) => `${this.x(p[0]).toFixed(1)},${this.y(p[1]).toFixed(1)}`).join(' ');
    if (!this.isSmooth || points.length < SMOOTH_FROM) {
      return [draw('polyline', { points: path(points), class: 'anl-curve', ...look })];
    }
    return [
      draw('polyline', { points: path(points), class: 'anl-raw', stroke: COLORS[number] }),
      draw('polyline', { points: path(smoothed(points)), class: 'anl-curve', ...look }),
    ];
  }

  // Values at a step.

  point(event) {
    const box = this.plot.getBoundingClientRect();
    const x = event.clientX - box.left;
    const distance = (p) => Math.abs(this.x(p[0]) - x);
    const found = this.shown.map((one) => nearest(one.points, distance));
    if (found.length) this.show(nearest(found, distance)[0]);
  }

  pressed(event) {
    const steps = [...new Set(this.shown.flatMap((one) => one.points.map((p) => p[0])))];
    steps.sort((a, b) => a - b);
    const last = steps.length - 1;
    const at = this.step === null ? last + 1 : steps.findIndex((n) => n >= this.step);
    const moves = {
      ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1,
      PageDown: at - 10, PageUp: at + 10, Home: 0, End: last,
    };
    if (event.key === 'Escape') this.show(null);
    else if (event.key in moves) this.show(steps[Math.max(0, Math.min(last, moves[event.key]))]);
    else return;
    event.preventDefault();
  }

  show(step) {
    if (step === this.step) return;
    this.step = step;
    this.write();
  }

  /** Write the values at the step; the newest ones where there is none. */
  write() {
    if (!this.cross) return;
    const { step } = this;
    const said = [];
    const marks = [];
    for (const one of this.lines) {
      const { points, name, number } = one;
      const away = (p) => Math.abs(p[0] - step);
      const point = step === null ? points[points.length - 1] : nearest(points, away);
      const value = this.items.get(name);
      const text = numberText(point[1]);
      if (value && value.textContent !== text) value.textContent = text;
      if (this.hidden.has(name)) continue;
      said.push(`${name} ${text}`);
      if (step === null) continue;
      const place = { cx: this.x(point[0]).toFixed(1), cy: this.y(point[1]).toFixed(1), r: 3.5 };
      marks.push(draw('circle', { ...place, fill: COLORS[number], class: 'anl-dot' }));
    }
    if (step !== null) {
      const x = this.x(step).toFixed(1);
      marks.unshift(draw('path', { d: `M${x} 8V${HEIGHT - 34}`, class: 'anl-cross' }));
    }
    this.cross.replaceChildren(...marks);
    this.at.textContent = step === null ? '' : `step ${numberText(step)}`;
    this.describe(step, said);
  }

  /** Say it to who does not see it; a chart that grows while one is not in it says nothing. */
  describe(step, said) {
    const points = this.shown[0]?.points || [];
    if (!points.length) return;
    const [first, last] = [points[0][0], points[points.length - 1][0]];
    this.plot.setAttribute('aria-valuemin', String(first));
    this.plot.setAttribute('aria-valuemax', String(last));
    this.plot.setAttribute('aria-valuenow', String(step ?? last));
    const where = step === null ? 'newest' : `step ${numberText(step)}`;
    this.plot.setAttribute('aria-valuetext', `${where}: ${said.join(', ')}`);
  }
}
