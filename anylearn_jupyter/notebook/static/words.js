// @ts-check
// Elements and words: everything that comes from a task is a stranger's text, and becomes text nodes
// (`textContent`) and numbers, never markup. No function here or elsewhere parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

const TAKES_KEYS = ['button', 'input', 'select', 'summary', 'textarea'];

/** Make an element with a class and a text. */
export function make(name, className = '', text = '') {
  const element = document.createElement(name);
  if (TAKES_KEYS.includes(name)) keepKeys(element);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Let the keys that are pressed in an element be its own, where a notebook has commands on them. */
export function keepKeys(element) {
  // The commands look for the focused element itself, so that it says nothing for those within it.
  element.dataset.lmSuppressShortcuts = 'true';
}

/** Have Tab come to an element that is no control by itself. */
export function makeReachable(element) {
  element.tabIndex = 0;
  keepKeys(element);
}

export function draw(name, attributes, text = '') {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text) element.textContent = text;
  return element;
}

export function count(number, word) {
  return `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;
}

export function numberText(value) {
  const size = Math.abs(value);
  if (value !== 0 && (size >= 1e6 || size < 1e-4)) {
    return value.toExponential(2).replace('e+', 'e');
  }
  return size < 1e4 ? String(Number(value.toPrecision(4))) : value.toFixed(0);
}

export function durationText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function clockText(ms) {
  const moment = new Date(ms);
  const time = moment.toLocaleTimeString('en-GB');
  if (moment.toDateString() === new Date().toDateString()) return time;
  const day = { day: 'numeric', month: 'short', year: 'numeric' };
  return `${moment.toLocaleDateString('en-GB', /** @type {any} */ (day))}, ${time.slice(0, 5)}`;
}
