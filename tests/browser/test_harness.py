"""The harness itself: what the other browser tests stand on works in both applications."""

from __future__ import annotations

from collections.abc import Callable

from browser.notebook_page import NotebookPage
from waiting import wait_until


def test_runs_reads_restarts_and_reloads(open_notebook: Callable[[], NotebookPage]) -> None:
    notebook = open_notebook()
    notebook.run(0, "value = 6 * 7\nprint('the value is', value)")
    assert notebook.outputs(0)[0]["text"] == "the value is 42\n"
    wait_until(
        lambda: "the value is 42" in notebook.cell(0).inner_text(), 10, "the output in the page"
    )
    notebook.restart_kernel()
    notebook.run(1, "print('value' in globals())")
    assert notebook.outputs(1)[0]["text"] == "False\n"
    assert "the value is 42" in str(notebook.save())
    notebook.reload()
    wait_until(lambda: "the value is 42" in notebook.cell(0).inner_text(), 10, "it after a reload")
    notebook.screenshot("harness")
    assert notebook.script_errors() == []
