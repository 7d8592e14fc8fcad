// @ts-check
// Metric curves: the same panels as ../curves.py draws into the twin.

import { draw, make, numberText } from './words.js';

const COLORS = ['#2f7ed8', '#e0762b', '#2a9d5c', '#b04fc4', '#c9a227', '#d64550'];
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

/** Leave some air above and below a curve. */
function wider([low, high]) {
  const air = (high - low) * 0.04;
  return [low - air, high + air];
}

/** One chart; it is drawn anew with each news, which is cheap at these sizes. */
export class Chart {
  constructor(title) {
    this.title = title;
    this.step = null; // the pointer's
    this.element = make('figure', 'anl-chart');
    this.legend = make('figcaption', 'anl-legend');
    this.picture = draw('svg', { viewBox: '0 0 340 170', role: 'img' });
    this.element.append(this.legend, this.picture);
    this.picture.addEventListener('pointermove', (event) => this.point(event));
    this.picture.addEventListener('pointerleave', () => this.point(null));
  }

  update(lines) {
    this.lines = lines;
    const [left, right, top, bottom] = [48, 332, 8, 138];
    const bounded = (n) => Math.max(-1e300, Math.min(n, 1e300));
    const xs = rangeOf(lines.flatMap((one) => one.points.map((p) => bounded(p[0]))));
    const ys = wider(rangeOf(lines.flatMap((one) => one.points.map((p) => bounded(p[1])))));
    this.x = (n) => left + ((bounded(n) - xs[0]) / (xs[1] - xs[0])) * (right - left);
    this.y = (n) => bottom - ((bounded(n) - ys[0]) / (ys[1] - ys[0])) * (bottom - top);
    const whole = lines.every((one) => one.points.every((p) => Number.isInteger(p[0])));
    const parts = [];
    for (const tick of ticksOf(ys[0], ys[1], 4, 0)) {
      const y = this.y(tick).toFixed(1);
      parts.push(draw('path', { d: `M${left} ${y}H${right}`, class: 'anl-grid' }));
      const at = { x: left - 6, y: Number(y) + 4, 'text-anchor': 'end' };
      parts.push(draw('text', at, numberText(tick)));
    }
    for (const tick of ticksOf(xs[0], xs[1], 5, whole ? 1 : 0)) {
      const x = this.x(tick);
      const at = { x: x.toFixed(1), y: bottom + 14, 'text-anchor': x > right - 12 ? 'end' : 'middle' };
      parts.push(draw('text', at, numberText(tick)));
    }
    parts.push(draw('path', { d: `M${left} ${top}V${bottom}H${right}`, class: 'anl-axis' }));
    const middle = { x: (left + right) / 2, y: bottom + 29, 'text-anchor': 'middle' };
    parts.push(draw('text', middle, 'step'));
    lines.forEach((one, number) => {
      const points = one.points.map((p) => `${this.x(p[0]).toFixed(1)},${this.y(p[1]).toFixed(1)}`);
      const look = { stroke: COLORS[number], class: 'anl-curve' };
      parts.push(draw('polyline', { points: points.join(' '), ...look }));
    });
    this.cross = draw('path', { class: 'anl-cross', d: '' });
    this.picture.replaceChildren(...parts, this.cross);
    this.picture.setAttribute('aria-label', `${this.title} by step`);
    this.write(this.step);
  }

  /** Show the values at the pointer's step; the newest ones where there is no pointer. */
  point(event) {
    this.step = null;
    if (!event || !this.lines) {
      this.write(null);
      return;
    }
    const box = this.picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 340;
    const nearest = this.lines[0].points.reduce((best, p) =>
      Math.abs(this.x(p[0]) - x) < Math.abs(this.x(best[0]) - x) ? p : best,
    );
    this.step = nearest[0];
    this.write(this.step);
  }

  write(step) {
    this.legend.textContent = '';
    this.lines.forEach((one, number) => {
      let point = one.points[one.points.length - 1];
      if (step !== null) {
        point = one.points.reduce((best, p) =>
          Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best,
        );
      }
      const item = make('span', 'anl-legend-item');
      const mark = make('i', 'anl-mark');
      mark.style.backgroundColor = COLORS[number];
      const name = make('span', 'anl-name', one.name);
      name.title = one.name;
      item.append(mark, name, make('b', '', numberText(point[1])));
      this.legend.append(item);
    });
    if (step !== null) this.legend.append(make('span', 'anl-at', `at ${numberText(step)}`));
    this.cross.setAttribute('d', step === null ? '' : `M${this.x(step).toFixed(1)} 8V138`);
  }
}
