"""A plan in words: what its text and its HTML both say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.descriptions import duration_text
from anylearn_jupyter.notebook.durations import duration_word
from anylearn_jupyter.notebook.printing import CELL_LIMIT
from anylearn_jupyter.notebook.resources_view import amount_text
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.submit.code_cell import CELL_SCRIPT
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.local_imports import LeftBehind
from anylearn_jupyter.submit.outlook import Place
from anylearn_jupyter.submit.overlay import overlay_of
from anylearn_jupyter.submit.packing_list import Skipped
from anylearn_jupyter.submit.planning import Plan

UNKNOWN = "unknown"
"""What stands where nobody says."""

_NOT_ASKED = f"{UNKNOWN}, as the server could not be asked"
_UNSENT = re.compile(r'"\$(<[^>"]*>)"')  # a mount whose id is not known yet
_KINDS = {"task": "the results of task"}


@dataclass(frozen=True)
class Dropped:
    """What one rule left out.

    Attributes
    ----------
    rule : str
        Its name in words.
    paths : tuple of str
        In their order.
    files : int or None
        How many files; None where a whole directory was not walked.
    """

    rule: str
    paths: tuple[str, ...]
    files: int | None


def command_of(plan: Plan) -> str:
    """Write the command, with each mount that has no id yet as the path that it stands for."""
    return _UNSENT.sub(r"\1", plan.command)


def server_words(facts: Facts) -> str:
    """Name the server, and the user there."""
    if facts.server == "local":
        return "local, the engine on this machine"
    return f"{facts.server}, as {facts.username}" if facts.username else facts.server


def code_words(plan: Plan) -> str:
    """Say what of the code travels, and from which state."""
    packing = plan.packing
    if packing is None:
        return f"algorithm {plan.request.algorithm_id}, which is on the server"
    state = ""
    if packing.head:
        changed = " with changes that are not committed" if packing.dirty else ""
        state = f", at commit {packing.head[:12]}{changed}"
    size = size_text(packing.total_bytes)
    return f"{count_words(len(packing.files))}, {size}, of {packing.root}{state}"


def script_lines(plan: Plan) -> list[str]:
    """Give the lines of the script that the cell becomes; none where it is no script itself."""
    text = overlay_of(plan.request).get(CELL_SCRIPT, b"").decode()
    lines = text.rstrip("\n").split("\n") if text else []
    return [_indent(line) + one_line(line, CELL_LIMIT) for line in lines]


def _indent(line: str) -> str:
    return " " * (len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip(" ")))


def supervision_words(plan: Plan) -> list[str]:
    """Say how long it may run, and how often it is started again; nothing where neither is so."""
    request, words = plan.request, []
    if request.timeout_s is not None:
        words.append(f"stopped after {duration_word(request.timeout_s)}")
    if request.retries:
        times = "once" if request.retries == 1 else f"up to {request.retries} times"
        words.append(f"started again {times} where it fails")
    return words


def dropped(skipped: Iterable[Skipped]) -> list[Dropped]:
    """Put what does not travel together by the rule that left it out."""
    by_rule: dict[str, list[Skipped]] = {}
    for one in skipped:
        by_rule.setdefault(one.reason, []).append(one)
    return [
        Dropped(
            rule,
            tuple(one.path for one in found),
            None
            if any(one.files is None for one in found)
            else sum(one.files or 0 for one in found),
        )
        for rule, found in by_rule.items()
    ]


def names_words(paths: Sequence[str], shown: int) -> str:
    """Write the first few names, and how many more there are."""
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return f"{', '.join(paths[:shown])}{more}"


def left_behind_words(one: LeftBehind) -> str:
    """Say which module the training would look for in vain, and the mend."""
    said = f"{one.importer} imports {one.module}, which does not travel: {one.path} ({one.reason})"
    if one.path.startswith("/"):
        return f"{said}; copy it here, or install it in the environment"
    return f"{said}; bring it along with --include {one.path}"


def data_words(fact: DataFact, plan: Plan) -> str:
    """Say what an input is, and whether it would be sent."""
    if fact.path is None:
        what = _KINDS.get(fact.kind, fact.kind)
        return f"{fact.name}: {what} {fact.id}, which is on the server"
    size = f"{count_words(fact.files or 0)}, {size_text(fact.size_bytes or 0)}"
    if fact.id:
        state = f"already there as {fact.id}"
    else:
        state = "to upload" if plan.upload_bytes is not None else "to upload, if it is not there"
    return f"{fact.name}: {fact.path} ({size}), {state}"


def upload_words(plan: Plan) -> str:
    """Say how much would be sent: the code packed, the data at most."""
    if plan.upload_bytes is None:
        return _NOT_ASKED
    parts = []
    if plan.code_upload_bytes:
        parts.append(f"{size_text(plan.code_upload_bytes)} of code")
    if plan.upload_bytes:
        parts.append(f"at most {size_text(plan.upload_bytes)} of data")
    return " and ".join(parts) or "nothing, all of it is there"


def upload_total(plan: Plan) -> str:
    """Say in a word or two how much would be sent."""
    if plan.upload_bytes is None:
        return UNKNOWN
    total = plan.upload_bytes + (plan.code_upload_bytes or 0)
    return size_text(total) if total else "nothing"


def queue_words(plan: Plan) -> Iterator[str]:
    """Say what is free, what the task takes, and who waits before it; a sentence each."""
    place = plan.place
    if place is None:
        yield _NOT_ASKED if plan.upload_bytes is None else f"{UNKNOWN}, as the server does not say"
        return
    free = [
        f"{amount_text(one.free)} of {amount_text(one.total)} {one.name}"
        for one in place.group.resources
        if one.total
    ]
    if free:
        yield f"free in {place.group.title}: {', '.join(free)}"
    if place.wanted:
        taken = ", ".join(f"{amount_text(amount)} {name}" for name, amount in place.wanted)
        yield f"this task takes {taken}"
    yield _waiting(place)


def _waiting(place: Place) -> str:
    too_much = place.too_much
    if too_much:
        name, wanted, had = too_much[0]
        return (
            f"it would never start: {amount_text(wanted)} {name} are more than the "
            f"{amount_text(had)} of the group"
        )
    waiting = place.group.queue_length
    if waiting is None:
        return "how many tasks wait is unknown, as the server does not say"
    if place.starts_at_once:
        return "no task waits, so it would start at once"
    if waiting == 0:
        return "no task waits, so it would be the next one once there is room"
    return f"{waiting} {'task waits' if waiting == 1 else 'tasks wait'} before it"


def queue_total(plan: Plan) -> str:
    """Say in a word or two when it would start."""
    place = plan.place
    if place is None or (place.group.queue_length is None and not place.too_much):
        return UNKNOWN
    if place.too_much:
        return "never starts"
    if place.starts_at_once:
        return "starts at once"
    return f"number {(place.group.queue_length or 0) + 1} in the queue"


def time_words(plan: Plan) -> str:
    """Say how long it may take, and from what that is known."""
    times = plan.run_times
    if times is None and plan.upload_bytes is None:
        return _NOT_ASKED
    if times is None:
        return f"{UNKNOWN}, as no earlier run of this entry on this server has succeeded"
    about = _about(times.median_s)
    values = "with these values" if times.same_values else "with other values"
    if times.runs == 1:
        return f"{about}, as the earlier run {values} took"
    between = f"{duration_text(times.shortest_s)} to {duration_text(times.longest_s)}"
    return f"{about}, the middle of {times.runs} earlier runs {values} ({between})"


def time_total(plan: Plan) -> str:
    """Say in a word or two how long it may take."""
    times = plan.run_times
    return UNKNOWN if times is None else _about(times.median_s)


def _about(seconds: float) -> str:
    return "under 1 s" if seconds < 1 else f"about {duration_text(seconds)}"


def count_words(files: int) -> str:
    """Write a number of files."""
    return "1 file" if files == 1 else f"{files:,} files"
