// @ts-check
// A task's life as three points with what passed between them: submitted, started, ended.

import { clockText, durationText, make } from './words.js';

const ENDED = {
  succeeded: 'Succeeded', failed: 'Failed', aborted: 'Stopped', lost: 'Lost', gone: 'Gone',
};

export class Timeline {
  constructor() {
    this.element = make('ol', 'anl-life');
    this.element.setAttribute('aria-label', 'When');
    this.points = ['submitted', 'started', 'ended'].map((name) => {
      const item = make('li', 'anl-life-point');
      item.dataset.point = name;
      const [dot, word, time, span] = ['dot', 'word', 'time', 'span'].map((part) =>
        make('span', `anl-life-${part}`));
      item.append(dot, word, time);
      if (name !== 'ended') item.append(span);
      this.element.append(item);
      return { item, word, time, span };
    });
  }

  /** Say what is known now; `skew` is this clock minus the kernel's. */
  update(state, skew) {
    const now = Date.now() - skew;
    const { created_ms: created, started_ms: started, finished_ms: ended, finished } = state;
    const over = Boolean(finished);
    this.write(0, 'Submitted', created, true);
    this.write(1, started ? 'Started' : over ? 'Never started' : 'Start', started, Boolean(started));
    this.write(2, over ? ENDED[state.phase] || 'Ended' : 'End', ended, over);
    const waitedTo = started || ended || (over ? null : now);
    this.between(0, started || over ? 'waited' : 'waiting', created, waitedTo);
    this.between(1, over ? 'ran' : 'running', started, ended || (over ? null : now));
    this.element.hidden = !created && !started;
  }

  write(number, word, ms, reached) {
    const { item, word: name, time } = this.points[number];
    item.classList.toggle('anl-life-reached', reached);
    setText(name, word);
    setText(time, ms ? clockText(ms) : '');
  }

  between(number, word, from, to) {
    const known = from && to;
    setText(this.points[number].span, known ? `${word} ${durationText((to - from) / 1000)}` : '');
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
