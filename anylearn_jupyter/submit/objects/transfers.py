"""The published strategies for uploads and downloads.

A strategy is any object with the published `run`; the ones here are what is used without one, and
what existing scripts name.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.client.download import compressed
from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.home import plain_name

AT_ONCE = 3
"""Chunks that `AsyncResourceUploader` has under way, and so in memory."""


class ResourceDownloader(Protocol):
    """A caller's own strategy for downloads, with the published method.

    What it returns is what the download returns, and what it raises ends it.
    """

    def run(self, *, resource_id: str, polling: float, save_path: str | None = None) -> object:
        """Fetch the archive of a resource into the directory `save_path`."""


class SyncResourceUploader:
    """Sends one chunk after another.

    Parameters
    ----------
    server : str, optional
        ``local`` or an address; default: this process's server.
    """

    def __init__(self, server: str | None = None) -> None:
        self._server = server

    def run(self, resource_id: str, chunks: Iterable[bytes]) -> None:
        """Send the chunks of a resource, numbered from 0."""
        api = current_connection(self._server).api
        for index, chunk in enumerate(chunks):
            api.upload_chunk(resource_id, index, chunk)


class AsyncResourceUploader:
    """Sends a few chunks at once, in any order, and tells how many have arrived.

    Parameters
    ----------
    on_start : callable, optional
        ``on_start(number of chunks)``; 0 where nobody knows it yet.
    on_progress : callable, optional
        ``on_progress(chunks sent, number of chunks)``, after each one, in the caller's thread.
    server : str, optional
        ``local`` or an address; default: this process's server.
    """

    def __init__(
        self,
        on_start: Callable[[int], object] | None = None,
        on_progress: Callable[[int, int], object] | None = None,
        *,
        server: str | None = None,
    ) -> None:
        self._on_start = on_start
        self._on_progress = on_progress
        self._server = server

    def run(self, resource_id: str, chunks: Iterable[bytes]) -> None:
        """Send the chunks of a resource, numbered from 0; the first failure ends it."""
        api = current_connection(self._server).api
        total = len(chunks) if isinstance(chunks, Sized) else 0
        if self._on_start is not None:
            self._on_start(total)
        under_way: deque[Future[None]] = deque()
        done = 0

        def finish_one() -> None:
            nonlocal done
            under_way.popleft().result()
            done += 1
            if self._on_progress is not None:
                self._on_progress(done, total)

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="anylearn-upload") as pool:
            for index, chunk in enumerate(chunks):
                if len(under_way) == AT_ONCE:
                    finish_one()
                under_way.append(pool.submit(api.upload_chunk, resource_id, index, chunk))
            while under_way:
                finish_one()


class SyncResourceDownloader:
    """Fetches a resource's archive, and says what it is called.

    Parameters
    ----------
    server : str, optional
        ``local`` or an address; default: this process's server.
    """

    def __init__(self, server: str | None = None) -> None:
        self._server = server

    def run(self, resource_id: str, save_path: str | None = None, polling: float = 5) -> str:
        """Write the archive of a resource into a directory.

        Parameters
        ----------
        save_path : str, optional
            The directory, made if it is missing; default: the current one.
        polling : float
            Most seconds between two questions whether the archive is made.

        Returns
        -------
        str
            The archive's name in that directory.
        """
        return fetched(self._server, resource_id, Path(save_path or os.curdir), polling)


class AsyncResourceDownloader:
    """The same as `SyncResourceDownloader`, but that its `run` gives a list of one name.

    Parameters
    ----------
    server : str, optional
        ``local`` or an address; default: this process's server.
    """

    def __init__(self, server: str | None = None) -> None:
        self._server = server

    def run(self, resource_id: str, save_path: str | None = None, polling: float = 5) -> list[str]:
        """Write the archive of a resource into a directory; gives its name in a list."""
        return [fetched(self._server, resource_id, Path(save_path or os.curdir), polling)]


def fetched(server: str | None, resource_id: str, directory: Path, polling_s: float) -> str:
    """Fetch a resource's archive into a directory; gives its name there.

    Raises
    ------
    ConfigError
        The directory cannot be written.
    """
    directory = directory.expanduser()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"Cannot write to {directory}: {error.strerror}.") from error
    api = current_connection(server).api
    compression_id = compressed(api, resource_id, polling_s=polling_s)
    name = f"{plain_name(resource_id)}.zip"
    api.download(resource_id, compression_id, directory / name)
    return name
