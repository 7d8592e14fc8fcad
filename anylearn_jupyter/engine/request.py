"""What a handler gets and gives: a request with checked fields, a reply, or an error.

A handler reads each field through `Fields`, which refuses what the field may not be with one
sentence that names it. So no handler sees an id that has not the form of one (faults E17).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from anylearn_jupyter.entities import is_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.chunk_uploads import Receiver
    from anylearn_jupyter.engine.store import TaskRow
    from anylearn_jupyter.engine.users import User

_MAX_FIELDS = 1000
_SHOWN_CHARACTERS = 60


class ApiError(Exception):
    """A definite no, which one handler turns into ``{"msg": ..., "code": ...}``.

    Parameters
    ----------
    status : int
        400 to 499, or 500 for a fault of ours; never 429 or above 500, which clients repeat.
    code : str
        A word for programs.
    detail : str
        The sentence for people.
    headers : mapping, optional
        More headers of the reply.

    Notes
    -----
    Source: HTTP API, section 1, errors and retries.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def bad(detail: str) -> ApiError:
    """Make the error for a field that is not what it must be."""
    return ApiError(400, "bad_request", detail)


def missing(what: str, name: str) -> ApiError:
    """Make the error for a thing that does not exist, or not for this user."""
    return ApiError(404, "not_found", f"There is no {what} {shown(name)}.")


def conflict(detail: str) -> ApiError:
    """Make the error for what contradicts what is there."""
    return ApiError(409, "conflict", detail)


def shown(text: str) -> str:
    """Quote a text of the caller's for an error, cut to a readable length."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


class Fields:
    """The fields of a query or of a form.

    Parameters
    ----------
    values : mapping of str to list of str
        All values of each name, in the order in which they came.
    """

    def __init__(self, values: Mapping[str, list[str]] | None = None) -> None:
        self._values = dict(values or {})

    @classmethod
    def parse(cls, data: bytes | str, what: str) -> Fields:
        """Read ``application/x-www-form-urlencoded``, UTF-8.

        Raises
        ------
        ApiError
            400: it is no such text.
        """
        try:
            text = data.decode() if isinstance(data, bytes) else data
            return cls(
                parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
            )
        except ValueError as error:
            raise bad(f"The {what} cannot be read: it is no form of UTF-8 text.") from error

    def __contains__(self, name: str) -> bool:
        """Whether the field was sent, even if it is empty."""
        return name in self._values

    def without(self, names: Container[str]) -> Fields:
        """Give the same without some fields."""
        return Fields({name: one for name, one in self._values.items() if name not in names})

    def optional(self, name: str, *, limit: int = 255) -> str | None:
        """Give a text; None if it was not sent."""
        if name not in self._values:
            return None
        value = self._values[name][-1]
        if len(value) > limit:
            raise bad(f"The field {name!r} has {len(value)} characters; at most {limit} fit.")
        if "\0" in value:
            raise bad(f"The field {name!r} holds a zero byte.")
        return value

    def text(self, name: str, *, limit: int = 255, default: str | None = None) -> str:
        """Give a text; without `default` it must have been sent and not be empty."""
        value = self.optional(name, limit=limit)
        if value is None and default is not None:
            return default
        if value is None or (default is None and not value):
            raise bad(f"The field {name!r} is missing; send one of up to {limit} characters.")
        return value

    def secret(self, name: str, *, limit: int) -> str:
        """Give a text that must have been sent, and that no error may show."""
        value = self._values.get(name, [""])[-1]
        if not value or len(value) > limit or "\0" in value:
            raise bad(f"The field {name!r} is missing or too long.")
        return value

    def id(self, name: str, prefix: str = "", *, what: str = "thing") -> str:
        """Give an id; what has not the form of one cannot exist."""
        value = self.text(name)
        if not is_id(value, prefix):
            raise missing(what, value)
        return value

    def optional_id(self, name: str, prefix: str, *, what: str) -> str | None:
        """Give an id; None if it was not sent or is empty."""
        return self.id(name, prefix, what=what) if self.optional(name) else None

    def ids(self, name: str) -> list[str]:
        """Give ids that were sent with commas, each once, in their order."""
        joined = ",".join(self._values.get(name, []))
        found = list(dict.fromkeys(one.strip() for one in joined.split(",") if one.strip()))
        for one in found:
            if not is_id(one):
                raise missing(f"resource (field {name!r})", one)
        return found

    def integer(
        self, name: str, default: int | None = None, *, low: int = 0, high: int = 1 << 53
    ) -> int:
        """Give a whole number; without `default` it must have been sent."""
        value = self.optional(name)
        if not value:
            if default is None:
                raise bad(f"The field {name!r} is missing; send a whole number.")
            return default
        try:
            number = int(value)
        except ValueError as error:
            raise bad(f"The field {name!r} is {shown(value)}, which is no number.") from error
        if not low <= number <= high:
            raise bad(f"The field {name!r} is {number}; it goes from {low} to {high}.")
        return number

    def number(self, name: str) -> float:
        """Give a decimal number that is finite."""
        value = self.text(name)
        try:
            number = float(value)
        except ValueError as error:
            raise bad(f"The field {name!r} is {shown(value)}, which is no number.") from error
        if number != number or number in (float("inf"), float("-inf")):
            raise bad(f"The field {name!r} is {value}; send a finite number.")
        return number

    def flag(self, name: str, default: bool = False) -> bool:
        """Give a flag, ``0``/``1`` or a Python boolean that nobody converted."""
        value = self.optional(name)
        if not value:
            return default
        if value.lower() not in ("0", "1", "true", "false"):
            raise bad(f"The field {name!r} is {shown(value)}; it is 0 or 1.")
        return value.lower() in ("1", "true")

    def json_object(self, name: str, *, limit: int) -> dict[str, Any]:
        """Give an object that was sent as JSON text; nothing sent is an empty one."""
        value = self._json(name, limit=limit)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise bad(f"The field {name!r} is no JSON object.")
        return value

    def json_list(self, name: str, *, limit: int) -> list[Any]:
        """Give a list that was sent as JSON text; nothing sent is an empty one."""
        value = self._json(name, limit=limit)
        if value is None:
            return []
        if not isinstance(value, list):
            raise bad(f"The field {name!r} is no JSON list.")
        return value

    def _json(self, name: str, *, limit: int) -> Any:
        value = self.optional(name, limit=limit)
        if not value:
            return None
        try:
            return json.loads(value, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise bad(f"The field {name!r} is no JSON text ({error}).") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that has passed the gate and whose credential was checked.

    Attributes
    ----------
    method, path : str
        As they came; the path without its query.
    headers : mapping
        By name, in any case.
    query, form : Fields
        What was sent.
    part : bytes or None
        The part ``file`` of a multipart body, or a whole plain one.
    values : mapping of str to str
        What stands in the path where the route's has ``{name}``, as it came.
    received : Receiver or None
        What took a plain body as it came.
    caller : User or None
        Whose credential it carries; None where none is asked for.
    task : TaskRow or None
        Whose ``Secret-Key`` it carries.
    on_close : callable
        ``on_close(callback)``: call when the client hangs up.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Fields = field(default_factory=Fields)
    form: Fields = field(default_factory=Fields)
    part: bytes | None = None
    received: Receiver | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    caller: User | None = None
    task: TaskRow | None = None
    on_close: Callable[[Callable[[], None]], None] = lambda _callback: None

    @property
    def user(self) -> User:
        """The caller, where the route asks for one."""
        if self.caller is None:
            raise RuntimeError(f"{self.method} {self.path} asks for no user")
        return self.caller

    @property
    def receiver(self) -> Receiver:
        """What took the body, where the route has one."""
        if self.received is None:
            raise RuntimeError(f"{self.method} {self.path} takes no body as it comes")
        return self.received

    @property
    def reporting_task(self) -> TaskRow:
        """The task that reports, where the route asks for one."""
        if self.task is None:
            raise RuntimeError(f"{self.method} {self.path} asks for no Secret-Key")
        return self.task

    @property
    def key(self) -> str | None:
        """The idempotency key (docs/protocol.md); None without one."""
        key = self.headers.get("Idempotency-Key")
        if key is None:
            return None
        if not 1 <= len(key) <= 64 or not all(
            one.isascii() and (one.isalnum() or one in "_-") for one in key
        ):
            raise bad("The Idempotency-Key is 1 to 64 letters, digits, '_' or '-'.")
        return key


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply that is not plain JSON with status 200.

    Attributes
    ----------
    body : bytes or asynchronous generator of bytes
        A part is asked for when the one before it has left.
    content_type : str
        The MIME type.
    headers : mapping
        More headers.
    status : int
        The HTTP status.
    """

    body: bytes | AsyncGenerator[bytes, None]
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


def mutation(thing_id: str, message: str) -> dict[str, str]:
    """Give the published "mutation reply" (HTTP API, section 1)."""
    return {"data": thing_id, "message": message}
