"""Names that git takes for its own and keeps out of every tree; which these are is git's to say."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.submit.git import own_git
from anylearn_jupyter.submit.git_objects import GitObject
from anylearn_jupyter.submit.globs import literal
from anylearn_jupyter.submit.packing_list import PackedFile
from anylearn_jupyter.submit.snapshot_store import SnapshotStore

_LEFT_OUT = re.compile(r"^Ignoring path (.*)$", re.MULTILINE)
# Whatever may pass for git's own on some file system, and is not one of the names of every day.
_DOUBTFUL = re.compile(
    r"(?:^|[/\\])(?:\.git(?!(?:ignore|attributes|keep|hub|lab|lab-ci\.yml)(?:/|$))|git~)"
    r"|[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]",
    re.IGNORECASE,
)


def refuse_what_git_leaves_out(store: SnapshotStore, files: Iterable[PackedFile]) -> None:
    """Raise the error that names a file which git will not have in a tree, if there is one.

    Git is asked about those that look like it.

    Raises
    ------
    SnapshotError
        There is one.
    """
    doubtful = [file for file in files if _DOUBTFUL.search(file.path)]
    if not doubtful:
        return
    with tempfile.TemporaryDirectory(prefix="names-", dir=store.git_dir) as place:
        git = own_git(store.git_dir, variables={"GIT_INDEX_FILE": f"{place}/index"})
        blob = GitObject("blob", b"").id.hex()
        lines = [
            os.fsencode(f"{'120000' if file.is_link else '100644'} {blob}\t{file.path}\0")
            for file in doubtful
        ]
        _, said = git.run_with_words("update-index", "-z", "--index-info", stdin=b"".join(lines))
    found = _LEFT_OUT.search(said)
    if found:
        raise SnapshotError(
            f"The name {found[1]!r} is one that git takes for its own and keeps out of every tree; "
            f"rename it, or leave it out with --exclude {literal(found[1])!r}."
        )
