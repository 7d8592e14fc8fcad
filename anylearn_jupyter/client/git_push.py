"""Pushing one commit as one branch: git's smart HTTP protocol, spoken by ourselves.

No git process takes part in the transfer, so a credential never meets git: no hook, credential
helper, ``url.insteadOf`` or proxy of the user's configuration can see it (faults, E9). The pack
comes from the caller. A branch is only ever created; one that exists with another commit is a
conflict, never overwritten.

The protocol: https://git-scm.com/docs/http-protocol, "Smart Service git-receive-pack".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from anylearn_jupyter.client.auth import Auth
from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.client.http import Http
from anylearn_jupyter.client.replies import decode, error_of, host_of, one_line
from anylearn_jupyter.errors import (
    Conflict,
    LoginRequired,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)

_log = logging.getLogger(__name__)

_NO_COMMIT = "0" * 40
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ATTEMPTS = 3
_TIMEOUT_S = 3600.0
_REPORT_LIMIT = 1024 * 1024
_ADVERTISEMENT = "application/x-git-receive-pack-advertisement"
_REQUEST = "application/x-git-receive-pack-request"
_RESULT = "application/x-git-receive-pack-result"


@dataclass(frozen=True)
class Advertised:
    """What a repository says that it has.

    Attributes
    ----------
    refs : dict
        Full name to commit; empty for an empty repository.
    have : frozenset of str
        Every object named: those of `refs`, and others that the server can reach.
    capabilities : frozenset of str
        As announced.
    """

    refs: dict[str, str]
    have: frozenset[str]
    capabilities: frozenset[str]


def push(
    connection: Connection,
    git_address: str,
    ref: str,
    commit: str,
    make_pack: Callable[[set[str]], Iterator[bytes]],
) -> None:
    """Make the branch on the server, with everything that its commit needs.

    Parameters
    ----------
    connection : Connection
        Whose credential is used: the bearer token, or name and password.
    git_address : str
        The repository, as the algorithm's ``git_address`` says.
    ref : str
        Full name, ``refs/heads/...``.
    commit : str
        40 hexadecimal digits.
    make_pack : callable
        ``make_pack(have)`` gives the pack of `commit` without what is reachable from the objects
        `have`, some of which the caller may not know. It is called again for a repetition.

    Raises
    ------
    Conflict
        The branch exists with another commit.
    ServerError
        The server refused the pack or the branch; the message has its reason.
    ServerUnreachable
        No answer after the last repetition. Pushing again is safe.
    LoginRequired
        This process has no credential that git takes there.
    """
    repository, path = _repository(connection, git_address)
    for attempt in range(1, _ATTEMPTS + 1):
        advertised = _advertised(repository, path)
        found = advertised.refs.get(ref)
        if found == commit:
            return
        if found is not None:
            raise Conflict(
                f"The branch {ref} of {host_of(git_address)} is at {found[:12]} and not at "
                f"{commit[:12]}; it is never overwritten, so choose another algorithm name."
            )
        try:
            _create(repository, path, ref, commit, make_pack(set(advertised.have)))
        except ServerUnreachable:
            # Whether it arrived is seen in what the server advertises next.
            if attempt == _ATTEMPTS:
                raise
            _log.warning(f"Sending the code to {host_of(git_address)} was cut off; trying again.")
        else:
            return


def _repository(connection: Connection, git_address: str) -> tuple[Http, str]:
    """Give the session for the repository's host, with what git takes as a credential there.

    The server names the host; its own token goes nowhere else, and a password never from TLS to
    plain text.
    """
    parts, own = urlsplit(git_address), urlsplit(connection.address)
    same = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
    auth: Auth | None = connection.git_auth()
    if auth is None:
        raise LoginRequired(
            f"Git on {host_of(git_address)} wants the password of {connection.username}, which is "
            f"not kept; run `%anylearn_login {connection.server}` in this kernel."
        )
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise UnexpectedAnswer(f"{connection.address} names a git address that cannot be used.")
    if same:
        http = connection.api.http
        session = http.with_auth(auth)
    elif auth is connection.api.http.auth or (own.scheme, parts.scheme) == ("https", "http"):
        raise UnexpectedAnswer(
            f"{connection.address} names git on {host_of(git_address)}, and the login is not sent "
            "there; ask who runs the server for a git address on the same host."
        )
    else:
        session = Http(f"{parts.scheme}://{parts.netloc}", auth=auth, settings=connection.settings)
    return session, quote(parts.path.rstrip("/"), safe="/%")


def _advertised(repository: Http, path: str) -> Advertised:
    """Ask what the repository has."""
    reply = repository.exchange("GET", f"{path}/info/refs", params={"service": "git-receive-pack"})
    if reply.status != 200:
        raise error_of(reply)
    if reply.headers.get("Content-Type", "").split(";")[0].strip() != _ADVERTISEMENT:
        decode(reply)  # says so where it is a proxy's page
        raise UnexpectedAnswer(f"{reply.address} does not speak git's smart protocol.")
    return read_advertisement(reply.body)


def read_advertisement(body: bytes) -> Advertised:
    """Read the answer to ``info/refs``.

    Raises
    ------
    UnexpectedAnswer
        It is none, or of a repository whose object names are not SHA-1.
    """
    lines = [line for line in packet_lines(body) if line is not None]
    if not lines or lines[0].strip() != b"# service=git-receive-pack":
        raise UnexpectedAnswer("The git server's answer does not begin as git's protocol does.")
    refs: dict[str, str] = {}
    have: set[str] = set()
    capabilities: frozenset[str] = frozenset()
    for number, line in enumerate(lines[1:]):
        words, _, announced = line.partition(b"\0")
        if number == 0:
            capabilities = frozenset(announced.decode("utf-8", "replace").split())
        commit, _, name = words.decode("utf-8", "surrogateescape").rstrip("\n").partition(" ")
        if not _COMMIT.fullmatch(commit):
            raise UnexpectedAnswer("The git server's list of branches cannot be read.")
        if commit == _NO_COMMIT:
            continue  # capabilities^{} of an empty repository
        have.add(commit)
        if name != ".have":
            refs[name] = commit
    if any(c.startswith("object-format=") and c != "object-format=sha1" for c in capabilities):
        raise UnexpectedAnswer("The git server's repository is not of the format SHA-1.")
    return Advertised(refs, frozenset(have), capabilities)


def _create(repository: Http, path: str, ref: str, commit: str, pack: Iterator[bytes]) -> None:
    """Send the command and the pack, and read the report."""
    command = f"{_NO_COMMIT} {commit} {ref}\0 report-status agent=anylearn-jupyter"

    def body() -> Iterator[bytes]:
        yield packet(command.encode()) + b"0000"
        yield from (piece for piece in pack if piece)

    report = bytearray()
    with repository.stream(
        "POST",
        f"{path}/git-receive-pack",
        data=body(),
        headers={"Content-Type": _REQUEST, "Accept": _RESULT},
        silence_s=300.0,  # the server unpacks and checks before it says anything
        timeout_s=_TIMEOUT_S,
    ) as stream:
        for block in stream.blocks():
            report += block
            if len(report) > _REPORT_LIMIT:
                raise UnexpectedAnswer("The git server's report is too long.")
    check_report(bytes(report), ref)


def check_report(body: bytes, ref: str) -> None:
    """Read the report on a push, in a side band or not.

    Raises
    ------
    ServerError
        The server did not unpack it, or did not make the branch; the message has its reason.
    UnexpectedAnswer
        The report says nothing of the branch.
    """
    lines = [line for line in packet_lines(body) if line is not None]
    if lines and lines[0][:1] in (b"\x01", b"\x02", b"\x03"):
        failed = b"".join(line[1:] for line in lines if line[:1] == b"\x03")
        if failed:
            raise ServerError(f"The git server refused: {_words(failed)}.")
        inner = b"".join(line[1:] for line in lines if line[:1] == b"\x01")
        lines = [line for line in packet_lines(inner) if line is not None]
    reports = [line.rstrip(b"\n") for line in lines]
    for report in reports:
        if report.startswith(b"unpack ") and report != b"unpack ok":
            raise ServerError(f"The git server cannot unpack the code: {_words(report[7:])}.")
        if report.startswith(b"ng " + ref.encode() + b" "):
            reason = _words(report.removeprefix(b"ng " + ref.encode() + b" "))
            raise ServerError(f"The git server refused the branch {ref}: {reason}.")
    if b"unpack ok" not in reports or b"ok " + ref.encode() not in reports:
        raise UnexpectedAnswer(f"The git server does not say whether it made the branch {ref}.")


def packet(data: bytes) -> bytes:
    """Write one packet line: four hexadecimal digits of length, then the data."""
    return b"%04x" % (len(data) + 4) + data


def packet_lines(body: bytes) -> Iterator[bytes | None]:
    """Read packet lines; None stands for a flush.

    Raises
    ------
    UnexpectedAnswer
        A length that cannot be read, or an end within a line.
    """
    at = 0
    while at < len(body):
        head = body[at : at + 4]
        if len(head) < 4 or not re.fullmatch(rb"[0-9a-fA-F]{4}", head):
            raise UnexpectedAnswer("The git server's answer is not in git's protocol.")
        length = int(head, 16)
        if length < 4:
            yield None
            at += 4
            continue
        if at + length > len(body):
            raise UnexpectedAnswer("The git server's answer ends too early.")
        yield body[at + 4 : at + length]
        at += length


def _words(data: bytes) -> str:
    return one_line(data.decode("utf-8", errors="replace")).rstrip(".")
