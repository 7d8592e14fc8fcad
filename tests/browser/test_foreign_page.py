"""G1: a web page in the user's browser can neither change nor read anything of the engine's.

The page tries every verb, the content types that need no preflight, forms, frames, images,
WebSockets, and a name that resolves to loopback (DNS rebinding). A control run against a server
that counts proves that the requests do leave the browser.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from conftest import RunningEngine, engine_command

# What would hurt, or tell; the routes' own test makes requests to every route without a browser.
CALLS = [
    ["GET", "/api/capabilities"],
    ["GET", "/api/engine/status"],
    ["GET", "/api/engine/proof?nonce=00112233445566778899aabbccddeeff"],
    ["GET", "/api/train_task/list"],
    ["POST", "/api/engine/stop", "tasks=stop"],
    ["POST", "/api/project/add", "name=planted&description=x"],
    ["POST", "/api/dataset/add", "name=planted&filename=a.zip&description=x&public=0"],
    ["POST", "/api/algorithm/add", "name=planted&mirror_id=MIRR"],
    ["POST", "/api/train_task/add", "name=planted&entrypoint=true"],
    ["POST", "/api/user/registry", "username=planted&password=planted&email=a@b"],
    ["POST", "/api/user/login", "username=planted&password=planted"],
    ["POST", "/api/resource/upload_finish", "file_id=FILE"],
    ["PUT", "/api/project/update", "id=x&name=planted"],
    ["PATCH", "/api/project/update", "id=x&name=planted"],
    ["DELETE", "/api/train_task/delete?id=x"],
    ["OPTIONS", "/api/project/add"],
]

ATTACK = """
async ([target, calls]) => {
  const read = [];
  const types = [null, 'text/plain', 'application/x-www-form-urlencoded', 'application/json'];
  for (const [method, path, body] of calls) {
    for (const mode of ['no-cors', 'cors']) {
      for (const type of types) {
        const options = { method, mode, credentials: 'include', headers: {} };
        if (type) options.headers['Content-Type'] = type;
        if (body) options.body = body;
        try {
          const answer = await fetch(target + path, options);
          if (answer.type !== 'opaque') read.push([method, path, mode, answer.status]);
        } catch (refused) { /* what should happen */ }
      }
    }
  }
  const loaded = (element) => new Promise((resolve) => {
    element.onload = element.onerror = () => resolve();
    setTimeout(resolve, 2000);
    document.body.append(element);
  });
  for (const [method, path, body] of calls) {
    if (method === 'GET') {
      for (const kind of ['img', 'script', 'iframe']) {
        const element = document.createElement(kind);
        element.src = target + path;
        await loaded(element);
      }
    } else if (method === 'POST') {
      const frame = document.createElement('iframe');
      frame.name = 'frame' + Math.random();
      document.body.append(frame);
      const form = document.createElement('form');
      form.method = 'POST';
      form.action = target + path;
      form.target = frame.name;
      for (const [name, value] of new URLSearchParams(body || '')) {
        const field = document.createElement('input');
        field.name = name;
        field.value = value;
        form.append(field);
      }
      document.body.append(form);
      const done = new Promise((resolve) => {
        frame.onload = () => resolve();
        setTimeout(resolve, 2000);
      });
      form.submit();
      await done;
    }
  }
  await new Promise((resolve) => {
    const socket = new WebSocket(target.replace('http', 'ws') + '/api/events');
    socket.onopen = () => { read.push(['WebSocket']); resolve(); };
    socket.onerror = () => resolve();
    setTimeout(resolve, 2000);
  });
  return read;
}
"""


@contextmanager
def serve() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve an empty page on a port of its own, and note each request that comes."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append((self.command, self.path))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            page = b"<!doctype html><title>elsewhere</title><body>a page"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

        def log_message(self, format: str, *arguments: Any) -> None:
            """Keep the test's output quiet; `seen` has it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(engine: RunningEngine, path: str) -> Any:
    """Ask the engine as its user."""
    token = (engine.home / "engine" / "token").read_text(encoding="ascii").strip()
    request = urllib.request.Request(
        f"{engine.address}/api/{path}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def everything(engine: RunningEngine) -> dict[str, Any]:
    """What a page could have changed."""
    listed = ("project/list", "dataset/list", "algorithm/list", "engine/counters")
    found = {path: asked(engine, path) for path in listed}
    status = asked(engine, "engine/status")
    found["engine"] = (status["pid"], status["tasks"])
    return found


def test_a_page_changes_and_reads_nothing(engine: RunningEngine, context: BrowserContext) -> None:
    before = everything(engine)
    with serve() as (origin, _), serve() as (control, seen):
        page = context.new_page()
        page.goto(origin)
        page.evaluate(ATTACK, [control, CALLS])
        assert {method for method, _ in seen} >= {"GET", "POST", "OPTIONS"}
        assert page.evaluate(ATTACK, [engine.address, CALLS]) == []
    assert everything(engine) == before
    assert json.loads(engine_command("status", "--json").stdout)["pid"] == engine.pid


@pytest.mark.parametrize("path", ["/api/capabilities", "/api/engine/status", "/"])
def test_a_rebound_name_gets_no_answer(
    engine: RunningEngine, context: BrowserContext, path: str
) -> None:
    """A foreign name that resolves to loopback is refused by its Host, and by the missing token."""
    before = everything(engine)
    port = engine.address.rsplit(":", 1)[1]
    page = context.new_page()
    # `*.localhost` is loopback in Chromium, whatever a name server says.
    answer = page.goto(f"http://rebound.localhost:{port}{path}")
    assert answer is not None
    assert answer.status == 421
    assert page.evaluate(
        "async () => (await fetch('/api/project/list', {method: 'GET'})).status"
    ) in (403, 421)
    assert page.evaluate(
        "async () => (await fetch('/api/engine/stop', {method: 'POST', body: 'tasks=stop'})).status"
    ) in (403, 421)
    assert everything(engine) == before
