// @ts-check
// Colours of a log line: the one kind of escape sequence that the kernel leaves in it (SGR). The same
// reader as ../ansi.py.

import { make } from './words.js';

const PLAIN = Object.freeze({
  color: '', background: '', bold: false, dim: false, italic: false, underline: false,
  strike: false, inverse: false,
});

const SWITCHES = {
  1: { bold: true }, 2: { dim: true }, 3: { italic: true }, 4: { underline: true },
  7: { inverse: true }, 9: { strike: true }, 21: { underline: true },
  22: { bold: false, dim: false }, 23: { italic: false }, 24: { underline: false },
  27: { inverse: false }, 29: { strike: false }, 39: { color: '' }, 49: { background: '' },
};

function styleAfter(style, parameters) {
  const numbers = parameters.split(/[;:]/).slice(0, 32).map((n) => Number(n.slice(0, 4)) || 0);
  let now = style;
  for (let at = 0; at < numbers.length; at++) {
    const n = numbers[at];
    if (n === 38 || n === 48) {
      const key = n === 38 ? 'color' : 'background';
      if (numbers[at + 1] === 5) {
        if (numbers[at + 2] <= 255) now = { ...now, [key]: String(numbers[at + 2]) };
        at += 2;
      } else if (numbers[at + 1] === 2) {
        const rgb = numbers.slice(at + 2, at + 5);
        if (rgb.length === 3 && Math.max(...rgb) <= 255) now = { ...now, [key]: `rgb(${rgb})` };
        at += 4;
      } else {
        break;
      }
    } else if (n === 0) {
      now = PLAIN;
    } else if (SWITCHES[n]) {
      now = { ...now, ...SWITCHES[n] };
    } else if ((n >= 30 && n <= 37) || (n >= 90 && n <= 97)) {
      now = { ...now, color: String(n < 90 ? n - 30 : n - 82) };
    } else if ((n >= 40 && n <= 47) || (n >= 100 && n <= 107)) {
      now = { ...now, background: String(n < 100 ? n - 40 : n - 92) };
    }
  }
  return now;
}

function cssColor(color) {
  if (!/^\d+$/.test(color)) return color; // rgb(…), made above from numbers
  const number = Number(color);
  if (number < 16) return `var(--anl-ansi-${number})`;
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232))})`;
  const steps = [0, 95, 135, 175, 215, 255];
  const n = number - 16;
  return `rgb(${[steps[Math.floor(n / 36)], steps[Math.floor(n / 6) % 6], steps[n % 6]]})`;
}

/** Put a line into an element as text in coloured spans. */
export function writeLine(element, line) {
  element.textContent = '';
  if (!line.includes('\x1b')) {
    element.textContent = line;
    return;
  }
  const pieces = line.split(/\x1b\[([0-9;:]*)m/);
  let style = PLAIN;
  for (let at = 0; at < pieces.length; at += 2) {
    if (at > 0 && at < 800) style = styleAfter(style, pieces[at - 1]);
    if (!pieces[at]) continue;
    const span = make('span', '', pieces[at].replaceAll('\x1b', ''));
    const ink = style.inverse ? style.background || 'var(--anl-ground)' : style.color;
    const ground = style.inverse ? style.color || 'var(--anl-ink)' : style.background;
    if (ink) span.style.color = ink.startsWith('var') ? ink : cssColor(ink);
    if (ground) span.style.backgroundColor = ground.startsWith('var') ? ground : cssColor(ground);
    if (style.bold) span.style.fontWeight = '600';
    if (style.dim) span.style.opacity = '0.7';
    if (style.italic) span.style.fontStyle = 'italic';
    const lines = [style.underline && 'underline', style.strike && 'line-through'];
    if (lines.some(Boolean)) span.style.textDecoration = lines.filter(Boolean).join(' ');
    element.append(span);
  }
}
