"""What `%load_ext anylearn_jupyter` adds in a real kernel: the median of five, in milliseconds.

Each measurement starts a kernel of its own, so that nothing is imported yet, and times the load
inside it; starting the kernel does not count. The goal is in docs/performance.md.
"""

from __future__ import annotations

import statistics
import sys
from queue import Empty

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

GOAL_MS = 60
REPEATS = 5
MEASURE = """
import time as _time
_begun = _time.perf_counter()
get_ipython().run_line_magic("load_ext", "anylearn_jupyter")
print(f"{(_time.perf_counter() - _begun) * 1000:.2f}")
"""


def printed(client: BlockingKernelClient, code: str) -> str:
    """Run code in the kernel and return what it printed."""
    request = client.execute(code)
    text = ""
    while True:
        try:
            message = client.get_iopub_msg(timeout=60)
        except Empty:
            raise TimeoutError("the kernel said nothing for 60 s") from None
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            text += content["text"]
        elif message["msg_type"] == "error":
            raise RuntimeError(f"{content['ename']}: {content['evalue']}")
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            return text


def measure() -> float:
    """Start a kernel, load the extension in it, and return what that took."""
    manager, client = start_new_kernel()
    try:
        return float(printed(client, MEASURE))
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def main() -> int:
    """Print the measurements and whether the goal is met."""
    taken = [measure() for _ in range(REPEATS)]
    median = statistics.median(taken)
    each = ", ".join(f"{ms:.1f}" for ms in sorted(taken))
    print(f"%load_ext anylearn_jupyter: {median:.1f} ms (median of {each}); goal {GOAL_MS} ms")
    return 0 if median < GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
