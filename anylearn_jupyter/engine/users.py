"""Users, their passwords and their sessions.

The local user is whoever has the engine's token, so it needs no password; it may get one for
clients that log in by name. A password is kept as its scrypt value, a token as its SHA-256.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import re
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass, field

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.entities import new_id
from anylearn_jupyter.errors import ConfigError

USER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,49}")
"""What a user may be called: it is a part of git addresses (HTTP API, section 7.2)."""

PASSWORD_CHARACTERS = 1024
"""Longest password."""

_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}
_SESSIONS_EACH = 200


@dataclass(frozen=True)
class User:
    """Who is asking."""

    id: str
    name: str


@dataclass(frozen=True)
class Session:
    """Two new tokens; `repr` shows neither."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


class Users:
    """The engine's users.

    Parameters
    ----------
    database : Database
        Where they are kept.
    engine_token : str
        What makes a caller the local user.
    """

    def __init__(self, database: Database, engine_token: str) -> None:
        self._database = database
        self._engine_token = engine_token.encode()
        self.local = self._local_user()
        # One calculation at a time needs 16 MB and some 50 ms, however many guess at once.
        self._hashing = threading.Lock()
        self._cache_key = secrets.token_bytes(32)
        self._known_passwords: set[bytes] = set()

    def by_token(self, token: str) -> User | None:
        """Give whose access token this is: the engine's own, or one of a session."""
        return self.by_engine_token(token) or self._by_session(token, "access")

    def by_engine_token(self, token: str) -> User | None:
        """Give the local user for the engine's own token, and nobody for any other."""
        right = hmac.compare_digest(token.encode("utf-8", "replace"), self._engine_token)
        return self.local if right else None

    def by_refresh_token(self, token: str) -> User | None:
        """Give whose refresh token this is; it stays valid after use (HTTP API, section 3)."""
        return self._by_session(token, "refresh")

    def by_password(self, name: str, password: str) -> User | None:
        """Check a name and a password.

        It takes as long for a name that does not exist. It calculates, so it is for a thread; a
        password that was right before is recognised at once.
        """
        row = self._database.row("SELECT * FROM user WHERE name = ?", name)
        # The published clients compare names letter for letter.
        stored = row["password"] if row is not None and row["name"] == name else None
        mark = hmac.digest(self._cache_key, f"{stored}\0{password}".encode(), "sha256")
        if stored is not None and mark in self._known_passwords:
            return _user(row)
        with self._hashing:
            right = _matches(password, stored or _NOBODY)
        if row is None or stored is None or not right:
            return None
        self._known_passwords.add(mark)
        return _user(row)

    def exists(self, name: str) -> bool:
        """Whether there is a user of that name."""
        return self._database.row("SELECT 1 FROM user WHERE name = ?", name) is not None

    def name_of(self, user_id: str) -> str:
        """Give a user's name; empty for nobody."""
        row = self._database.row("SELECT name FROM user WHERE id = ?", user_id)
        return row["name"] if row else ""

    def everyone(self) -> list[User]:
        """Give all users, in the order in which they were made."""
        rows = self._database.rows("SELECT * FROM user ORDER BY rowid")
        return [User(row["id"], row["name"]) for row in rows]

    def email_of(self, user_id: str) -> str:
        """Give the address that a user has left; empty for none."""
        row = self._database.row("SELECT email FROM user WHERE id = ?", user_id)
        return row["email"] if row else ""

    def set_email(self, user_id: str, email: str) -> None:
        """Keep a user's address, which nothing here writes to."""
        with self._database.transaction() as change:
            change.execute("UPDATE user SET email = ? WHERE id = ?", (email, user_id))

    def set_password(self, user: User, password: str, *, keep: str) -> None:
        """Give a user another password; it calculates, so it is for a thread.

        Parameters
        ----------
        keep : str
            The access token of whoever asks: the only session that does not end.
        """
        hashed = _hashed(checked_password(password))
        with self._database.transaction() as change:
            change.execute("UPDATE user SET password = ? WHERE id = ?", (hashed, user.id))
            change.execute(
                "DELETE FROM session WHERE user_id = ? AND digest != ?", (user.id, _digest(keep))
            )

    def new_session(self, user: User) -> Session:
        """Make an access and a refresh token; the oldest of very many are dropped."""
        session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._keep(user, "access", session.access)
        self._keep(user, "refresh", session.refresh)
        return session

    def new_access_token(self, user: User) -> str:
        """Make another access token, which is valid at once."""
        token = secrets.token_urlsafe(32)
        self._keep(user, "access", token)
        return token

    def _by_session(self, token: str, kind: str) -> User | None:
        row = self._database.row(
            "SELECT user.* FROM session JOIN user ON user.id = session.user_id"
            " WHERE session.digest = ? AND session.kind = ?",
            _digest(token),
            kind,
        )
        return _user(row)

    def _keep(self, user: User, kind: str, token: str) -> None:
        with self._database.transaction() as change:
            change.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?)",
                (_digest(token), user.id, kind, _now_ms()),
            )
            change.execute(
                "DELETE FROM session WHERE digest IN (SELECT digest FROM session WHERE user_id = ?"
                " AND kind = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
                (user.id, kind, _SESSIONS_EACH),
            )

    def _local_user(self) -> User:
        with self._database.transaction() as change:
            known = self._database.meta("local_user")
            row = self._database.row("SELECT * FROM user WHERE id = ?", known)
            user = _user(row)
            if user is None:
                name = local_user_name()
                while self.exists(name):
                    name = f"{name[:40]}-{secrets.token_hex(2)}"
                user = User(new_id("USER"), name)
                change.execute(
                    "INSERT INTO user (id, name, created_ms) VALUES (?, ?, ?)",
                    (user.id, user.name, _now_ms()),
                )
                self._database.set_meta("local_user", user.id)
        return user


def add_user(database: Database, name: str, password: str, *, replace: bool) -> bool:
    """Make a user who can log in, or give one who has no password yet a password.

    Parameters
    ----------
    database : Database
        The engine's store; a running engine sees the user at once.
    name, password : str
        What the user logs in with.
    replace : bool
        Whether a password that is there already may be replaced; its sessions end with it.

    Returns
    -------
    bool
        Whether the user is new.

    Raises
    ------
    ConfigError
        The name or the password cannot be one, or the user has a password.
    """
    if not USER_NAME.fullmatch(name):
        raise ConfigError(
            f"The name {name!r} cannot be a user's: write 1 to 50 letters, digits, '_', '.' or "
            "'-', beginning with a letter, a digit or '_'."
        )
    checked_password(password)
    with database.transaction() as change:
        row = database.row("SELECT * FROM user WHERE name = ?", name)
        if row is None:
            change.execute(
                "INSERT INTO user (id, name, password, created_ms) VALUES (?, ?, ?, ?)",
                (new_id("USER"), name, _hashed(password), _now_ms()),
            )
            return True
        if row["name"] != name:
            raise ConfigError(f"There is a user {row['name']!r}; choose another name.")
        if row["password"] is not None and not replace:
            raise ConfigError(
                f"The user {name!r} has a password already; add --replace to give a new one."
            )
        change.execute("UPDATE user SET password = ? WHERE id = ?", (_hashed(password), row["id"]))
        change.execute("DELETE FROM session WHERE user_id = ?", (row["id"],))
    return False


def checked_password(password: str) -> str:
    """Give back what can be a password.

    Raises
    ------
    ConfigError
        It is empty, too long, or holds a zero byte.
    """
    if not password or len(password) > PASSWORD_CHARACTERS or "\0" in password:
        raise ConfigError(
            f"A password has 1 to {PASSWORD_CHARACTERS} characters; send it on standard input."
        )
    return password


def user_names(database: Database) -> list[tuple[str, bool]]:
    """Give (name, whether the user can log in with a password) of all users, by name."""
    rows = database.rows("SELECT name, password IS NOT NULL AS can FROM user ORDER BY name")
    return [(row["name"], bool(row["can"])) for row in rows]


def local_user_name() -> str:
    """Give the name of who runs the engine, made fit for a git address."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # no name for this number
        name = "local"
    fit = re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:50].lstrip(".-")
    return fit or "local"


def _user(row: sqlite3.Row | None) -> User | None:
    return User(row["id"], row["name"]) if row is not None else None


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    value = hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)
    return f"scrypt${salt.hex()}${value.hex()}"


def _matches(password: str, stored: str) -> bool:
    _, salt, value = stored.split("$")
    found = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_SCRYPT)
    return hmac.compare_digest(found, bytes.fromhex(value))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_NOBODY = f"scrypt${'00' * 16}${'00' * 64}"
