"""What algorithms, datasets, models and files have in common, under the published names."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from anylearn_jupyter import entities
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.chunks import CHUNK_BYTES, FileChunks
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.client.download import download_resource
from anylearn_jupyter.client.upload import ResourceUploader
from anylearn_jupyter.home import Home, plain_name
from anylearn_jupyter.submit.objects.saving import created, destination, needed
from anylearn_jupyter.submit.objects.server_object import ServerObject
from anylearn_jupyter.submit.objects.transfers import (
    ResourceDownloader,
    SyncResourceDownloader,
    SyncResourceUploader,
)


@dataclass
class Resource(ServerObject):
    """Something on the server that has content: its facts as last heard, and what can be done.

    Parameters
    ----------
    id : str, optional
        None for what is not on the server yet; `save` registers it.
    load_detail, server
        As for `ServerObject`.

    Attributes
    ----------
    state : int or None
        A number of `ResourceState`; None where nobody has asked.
    name, description, public, upload_time, filename, is_zipfile, file_path, size, creator_id, \
node_id
        As the server last said or as they were set; `save` sends those that can be changed.

    Notes
    -----
    Source: HTTP API, sections 6.1 and 6.2.
    """

    id: str | None = None
    name: str | None = None
    description: str | None = None
    state: int | None = None
    public: bool = False
    upload_time: str | None = None
    filename: str | None = None
    is_zipfile: bool | None = None
    file_path: str | None = None
    size: str | None = None
    creator_id: str | None = None
    node_id: str | None = None

    kind: ClassVar[str]

    # What each kind says of itself.

    @staticmethod
    @abstractmethod
    def _read(api: Api, resource_id: str) -> entities.Resource:
        """Read one by its id."""

    @staticmethod
    @abstractmethod
    def _listed(api: Api) -> list[Any]:
        """List what the user can see, as entities."""

    def _form(self) -> dict[str, Any]:
        """Give the fields that `save` sends; None leaves one out."""
        return {
            "name": self.name,
            "description": self._kept(self.description),
            "public": self.public,
            "filename": self.filename,
        }

    # The published methods.

    @classmethod
    def of(cls, found: entities.Resource, server: str | None = None) -> Self:
        """Make the object of what a server said."""
        made = cls(server=server)
        made._take(found)
        return made

    @classmethod
    def get_list(cls) -> list[Self]:
        """List what the user can see; servers leave some attributes out of lists."""
        connection = current_connection()
        return [cls.of(one, connection.server) for one in cls._listed(connection.api)]

    def get_detail(self) -> None:
        """Ask the server for every attribute.

        Raises
        ------
        NotFound
            There is none of that id.
        """
        self._take(self._read(self._api(), self._id()))

    def save(self) -> bool:
        """Register it on the server, or change what is there; gives True.

        Raises
        ------
        OptionError
            It has no name.
        ServerError, ServerUnreachable
            As the server says. Saving again makes nothing twice.
        """
        name = needed(self.name, f"{type(self).__name__}.name")
        form = self._form()
        if self.id is not None:
            self._api().update_resource(self.kind, {"id": self.id, **form})
            return True
        form["filename"] = form["filename"] or f"{name}.zip"
        self.id = created(
            self.server,
            self.kind,
            name,
            lambda api, key, doubtful: api.add_resource(self.kind, form, key, doubtful=doubtful),
        )
        return True

    def delete(self, force: bool = False) -> bool:
        """Delete it with its content; gives True."""
        self._api().delete_resource(self.kind, self._id(), force=force)
        return True

    def upload(
        self,
        local_file_path: str | Path,
        purge: bool = False,
        uploader: ResourceUploader | None = None,
        chunk_size: int = CHUNK_BYTES,
    ) -> bool:
        """Send a file as its content, and wait until the server has processed it; gives True.

        Parameters
        ----------
        local_file_path : path
            A zip archive, for what is to be mounted as a directory.
        purge : bool, default False
            Drop the former content first.
        uploader : ResourceUploader, optional
            The caller's own strategy.
        chunk_size : int
            For servers of one's own only; published ones count on the default.
        """
        path = Path(local_file_path).expanduser()
        chunks = FileChunks(path, chunk_size)
        self.get_detail()
        self.filename = path.name
        self._api().update_resource(self.kind, {"id": self.id, **self._form()})
        self._take(self._sent(self.server, self._id(), chunks, purge, uploader))
        return True

    @classmethod
    def upload_file(
        cls,
        resource_id: str,
        file_path: str | Path,
        purge: bool = False,
        uploader: ResourceUploader | None = None,
        chunk_size: int = CHUNK_BYTES,
    ) -> bool:
        """Send a file as the content of a resource of this kind; see `upload`."""
        chunks = FileChunks(Path(file_path).expanduser(), chunk_size)
        cls._sent(None, resource_id, chunks, purge, uploader)
        return True

    @classmethod
    def download_file(
        cls,
        resource_id: str,
        save_path: str | Path,
        polling: float = 5,
        downloader: ResourceDownloader | None = None,
    ) -> Any:
        """Fetch the archive of a resource into a directory.

        Returns
        -------
        object
            The archive's name in that directory; with a `downloader` whatever that gives.
        """
        strategy = downloader or SyncResourceDownloader()
        return strategy.run(resource_id=resource_id, polling=polling, save_path=str(save_path))

    @staticmethod
    def list_dir(resource_id: str) -> dict[str, Any]:
        """List the files of a resource: name to ``{"name", "type", "child"}``, recursive."""
        return current_connection().api.list_files(resource_id)

    def ls(self, sub_path: str | None = None) -> dict[str, Any]:
        """List its files, or those below a directory of it, as `list_dir` does."""
        return self._api().list_files(self._id(), sub_path)

    def download(
        self, dest_dir: str | os.PathLike[str] | None = None, sub_path: str | None = None
    ) -> str:
        """Fetch its files, unpacked.

        Parameters
        ----------
        dest_dir : path, optional
            Where the directory of them is made; default: ``results`` under ``ANYLEARN_HOME``.
        sub_path : str, optional
            Only this file or directory of it.

        Returns
        -------
        str
            The directory that they are in, named by the id.
        """
        above = Path(dest_dir) if dest_dir is not None else Home().results
        target = above / plain_name(self._id())
        return str(download_resource(self._api(), self._id(), target, subpath=sub_path))

    # Inside.

    def _api(self) -> Api:
        return self.connection().api

    def _id(self) -> str:
        return needed(self.id, f"{type(self).__name__}.id")

    def _take(self, found: entities.Resource) -> None:
        """Take over what a server said."""
        own = {one.name for one in fields(self)}
        for one in fields(found):
            if one.name in own:
                setattr(self, one.name, getattr(found, one.name))
        self.description = self._shown(found.description)

    @classmethod
    def _sent(
        cls,
        server: str | None,
        resource_id: str,
        chunks: FileChunks,
        purge: bool,
        uploader: ResourceUploader | None,
    ) -> entities.Resource:
        """Send the chunks, say that they are complete, and wait until they are processed."""
        strategy = uploader or SyncResourceUploader(server)
        with destination(server) as place:
            strategy.run(resource_id, chunks)
            place.api.finish_upload(resource_id, purge=purge)
            return place.wait_ready(
                lambda one: cls._read(place.api, one), resource_id, f"the file {chunks.path}"
            )
