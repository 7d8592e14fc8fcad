"""Form fields as the HTTP API wants them (section 1, form values)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

FORM_TYPE = "application/x-www-form-urlencoded"
"""The content type of `encode_form`."""

Form = Mapping[str, Any]


def given(form: Form | None) -> dict[str, Any] | None:
    """Leave out what is None; truth values are sent as 0 and 1."""
    if form is None:
        return None
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in form.items()
        if value is not None
    }


def encode_form(form: Form | None) -> bytes:
    """Encode a form as UTF-8; a list repeats its key, an empty text is sent as ``key=``."""
    return urlencode(given(form) or {}, doseq=True, encoding="utf-8").encode("ascii")


def encode_chunk(file_id: str, index: int, data: bytes) -> tuple[bytes, str]:
    """Write one part of an upload as multipart; see `encode_file`.

    Notes
    -----
    Source: HTTP API, section 6.3: fields ``file_id`` and ``chunk``, and a part ``file`` whose file
    name is ``file``.
    """
    return encode_file({"file_id": file_id, "chunk": index}, data)


def encode_file(fields: Mapping[str, object], data: bytes) -> tuple[bytes, str]:
    """Write fields and a part ``file`` as multipart, with a single copy of its bytes.

    Returns
    -------
    tuple
        The body and its content type.
    """
    boundary = secrets.token_hex(16)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n"
    body = b"".join((head.encode(), data, tail.encode()))
    return body, f"multipart/form-data; boundary={boundary}"
