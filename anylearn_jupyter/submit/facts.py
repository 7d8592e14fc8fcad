"""What a submission found out and did: what the card shows and the ledger keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class DataFact:
    """What became of one input.

    Attributes
    ----------
    name : str
        The hyperparameter that receives its path.
    path : Path or None
        The local directory; None for what was named by its id.
    id : str
        The resource on the server.
    kind : str
        ``dataset``, ``model`` or ``task`` (its results).
    fingerprint : str
        Its content; empty for what was named by its id.
    size_bytes, files : int or None
        None where it was named by its id.
    uploaded_bytes : int
        0 where the server had it already.
    """

    name: str
    path: Path | None = None
    id: str = ""
    kind: str = "dataset"
    fingerprint: str = ""
    size_bytes: int | None = None
    files: int | None = None
    uploaded_bytes: int = 0

    @property
    def reused(self) -> bool:
        """Whether nothing had to be sent."""
        return self.uploaded_bytes == 0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was sent, as a card shows it.

    Attributes
    ----------
    server, address, username : str
        Where the task is; `server` is ``local`` or the address.
    snapshot_id : str
        The code's commit; empty where the algorithm was named by its id.
    files, size_bytes : int
        What the snapshot holds.
    head : str or None
        The commit that the user's repository is at; None without one.
    dirty : bool
        Whether the code differs from that commit.
    code_sent : bool
        False where the server had this snapshot already.
    data : tuple of DataFact
        The inputs, in the request's order.
    params : tuple of (str, str)
        The hyperparameters as text, without the mounts.
    command : str
        The whole shell command, as the server says it where it does.
    entrypoint, output, mirror_name : str
        As they were sent.
    digest : str
        `TrainRequest.digest`.
    notes : tuple of str
        What the user should know, a sentence each.
    """

    server: str
    address: str
    username: str
    snapshot_id: str = ""
    files: int = 0
    size_bytes: int = 0
    head: str | None = None
    dirty: bool = False
    code_sent: bool = False
    data: tuple[DataFact, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    command: str = ""
    entrypoint: str = ""
    output: str = ""
    mirror_name: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the facts as the ledger keeps them."""
        data = asdict(self)
        for one in data["data"]:
            one["path"] = str(one["path"]) if one["path"] else None
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Read what `to_json` gave; keys of a newer program are ignored."""
        own = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        own["data"] = tuple(_data_fact(one) for one in own.get("data", ()))
        own["params"] = tuple((str(name), str(value)) for name, value in own.get("params", ()))
        own["notes"] = tuple(str(note) for note in own.get("notes", ()))
        return cls(**own)


def _data_fact(data: dict[str, Any]) -> DataFact:
    own = {name: data[name] for name in DataFact.__dataclass_fields__ if name in data}
    if own.get("path"):
        own["path"] = Path(own["path"])
    return DataFact(**own)
