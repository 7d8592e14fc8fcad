"""Scripts that the browser tests train: one that waits for the test, one that prints poison."""

from __future__ import annotations

WAITING = r"""
import argparse
import time
from pathlib import Path

from anylearn_jupyter.tracking import report

parser = argparse.ArgumentParser()
parser.add_argument("--until", type=Path, required=True)
options = parser.parse_args()

number = 0
while not options.until.exists():
    number += 1
    print(f"line {number}")
    if number % 5 == 0:
        report(step=number, loss=1 / number)
    time.sleep(0.05)
print("\033[32mline last\033[0m")
"""

# Each would set `window.canary`, ask for a URL with `canary` in it, or cover the page.
PAYLOADS = [
    '<img src="canary-image" onerror="window.canary=1">',
    "<script>window.canary=2</script>",
    '<svg onload="window.canary=3"><circle r="9"/></svg>',
    '<iframe srcdoc="<script>parent.canary=4</script>"></iframe>',
    '<a href="javascript:window.canary=5">a link</a>',
    "[a link](javascript:window.canary=6)",
    "</pre></div></script><script>window.canary=7</script>",
    '"><b onmouseover="window.canary=8" style="position:fixed;inset:0">cover</b>',
    "$\\href{javascript:window.canary=9}{math}$",
    "{{constructor.constructor('window.canary=10')()}}",
    "\033]8;;javascript:window.canary=11\007an OSC 8 link\033]8;;\007",
    "\033[31m<img src=canary-coloured onerror=window.canary=12>\033[0m",
]

POISON = f"""
import argparse
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--note", default="")
parser.parse_args()

for payload in {PAYLOADS!r}:
    print(payload)
    print(payload, file=sys.stderr)
print('[anylearn-metric] {{"step": 1, "<img src=canary-series onerror=window.canary=13>": 1.0}}')
print('[anylearn-metric] {{"step": 2, "<img src=canary-series onerror=window.canary=13>": 0.5}}')
print("epoch 1/2 <img src=canary-progress onerror=window.canary=14>")
print("the poison is out")
"""

# True when nothing of the poison has become part of the page.
HARMLESS = """
() => {
  const found = [];
  if (window.canary !== undefined) found.push('ran: ' + window.canary);
  for (const element of document.querySelectorAll('[src],[href],[srcdoc]')) {
    for (const name of ['src', 'href', 'srcdoc']) {
      const value = element.getAttribute(name) || '';
      if (value.includes('canary')) found.push(element.tagName + ' ' + name);
    }
  }
  for (const element of document.querySelectorAll('*')) {
    for (const attribute of element.attributes) {
      if (attribute.name.startsWith('on') && attribute.value.includes('canary')) {
        found.push(element.tagName + ' ' + attribute.name);
      }
    }
  }
  return found;
}
"""
