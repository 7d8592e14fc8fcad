"""A project on the server, under the published name."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from anylearn_jupyter import entities
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.submit.objects.saving import created, needed
from anylearn_jupyter.submit.objects.server_object import ServerObject
from anylearn_jupyter.submit.task import TrainTask


@dataclass
class Project(ServerObject):
    """A group of tasks.

    Attributes
    ----------
    datasets : list of str
        Ids of the datasets that were put with it.

    Notes
    -----
    Source: HTTP API, section 5.
    """

    id: str | None = None
    name: str | None = None
    description: str | None = None
    create_time: str | None = None
    update_time: str | None = None
    creator_id: str | None = None
    datasets: list[str] | None = None

    @classmethod
    def of(cls, found: entities.Project, server: str | None = None) -> Project:
        """Make the object of what a server said."""
        made = cls(server=server)
        made._take(found)
        return made

    @classmethod
    def get_list(cls) -> list[Project]:
        """List the projects that the user can see."""
        connection = current_connection()
        return [cls.of(one, connection.server) for one in connection.api.projects()]

    @classmethod
    def get_my_default_project(cls) -> Project:
        """Give the user's default project; most servers make it when it is first asked for.

        Raises
        ------
        NotFound
            The server knows no default projects.
        """
        connection = current_connection()
        found = connection.api.default_project()
        if found is None:
            raise NotFound(
                f"{connection.address} knows no default project; make one, with "
                "Project.create_my_default_project() or Project(name=...).save()."
            )
        return cls.of(found, connection.server)

    @classmethod
    def create_my_default_project(cls) -> Project:
        """Give the user's default project; where the server knows none, a new project."""
        try:
            return cls.get_my_default_project()
        except NotFound:
            made = cls(name=f"notebook-{secrets.token_hex(3)}", server=current_connection().server)
            made.save()
            made.get_detail()
            return made

    def get_detail(self) -> None:
        """Ask the server for every attribute.

        Raises
        ------
        NotFound
            There is none of that id.
        """
        self._take(self.connection().api.project(self._id()))

    def save(self) -> bool:
        """Make it on the server, or change what is there; gives True.

        Raises
        ------
        OptionError
            It has no name.
        ServerError, ServerUnreachable
            As the server says. Saving again makes nothing twice.
        """
        name, description = needed(self.name, "Project.name"), self._kept(self.description) or ""
        datasets = self.datasets or []
        if self.id is not None:
            api = self.connection().api
            api.update_project(self.id, name, description, datasets)
            return True
        self.id = created(
            self.server,
            "project",
            name,
            lambda api, key, doubtful: api.add_project(
                name, description, key, datasets=datasets, doubtful=doubtful
            ),
        )
        return True

    def delete(self, force: bool = False) -> bool:
        """Delete it; gives True."""
        self.connection().api.delete_project(self._id(), force=force)
        return True

    def get_train_tasks(self, load_detail: bool = False) -> list[TrainTask]:
        """List its tasks.

        Parameters
        ----------
        load_detail : bool, default False
            Ask for each one's attributes; lists leave some out.
        """
        connection = self.connection()
        tasks = [
            TrainTask.seen(detail, connection)
            for detail in connection.api.project_tasks(self._id())
        ]
        if load_detail:
            for task in tasks:
                task.get_detail()
        return tasks

    def _id(self) -> str:
        return needed(self.id, "Project.id")

    def _take(self, found: entities.Project) -> None:
        self.id, self.name = found.id, found.name
        self.description = self._shown(found.description)
        self.create_time, self.update_time = found.create_time, found.update_time
        self.creator_id, self.datasets = found.creator_id, list(found.datasets)
