"""Projects, quota groups, the user, and the engine's counters (HTTP API, sections 3 and 5)."""

from __future__ import annotations

from collections.abc import Iterable

from anylearn_jupyter.client.api.base import Calls, marked
from anylearn_jupyter.client.decoding import (
    an_object,
    integer,
    made_id,
    objects,
    only_object,
    resource,
    text,
)
from anylearn_jupyter.entities import Project, QuotaGroup
from anylearn_jupyter.errors import NotFound, ServerError


class ProjectCalls(Calls):
    """Endpoints of projects and of the user who asks."""

    def me(self) -> tuple[str, str]:
        """Give the id and the name of the user whose credential this is."""
        what = "GET user/me"
        found = an_object(self.http.get("user/me"), what)
        return text(found, "id", what), text(found, "username", what)

    def default_project(self) -> Project | None:
        """Give the user's default project; None where the server knows no default projects.

        Notes
        -----
        Source: HTTP API, section 5: a list with the project, or an object with its id when the
        server has just made it.
        """
        what = "GET project/default"
        try:
            found = self.http.get("project/default")
        except NotFound:
            return None
        if isinstance(found, dict) and "data" in found:
            return self.project(text(found, "data", what))
        listed = objects(found, what)
        return Project.from_json(resource(listed[0], what)) if listed else None

    def project(self, project_id: str) -> Project:
        """Read one project by its id."""
        what = "GET project/query"
        found = self.http.get("project/query", {"id": project_id})
        return Project.from_json(resource(only_object(found, what, f"project {project_id}"), what))

    def find_project(self, name: str, username: str) -> Project | None:
        """Find a user's project by its name; None where there is none.

        Notes
        -----
        Source: HTTP API, section 5. Older servers know no ``fullname``, so its absence is checked
        in the list, where projects of others may have the same name.
        """
        what = "GET project/query"
        try:
            found = objects(
                self.http.get("project/query", {"fullname": f"{username}/{name}"}), what
            )
        except NotFound:
            found = []
        except ServerError as error:
            if error.status not in (400, 422):
                raise
            found = []  # a server that wants `id` there
        if found:
            return Project.from_json(resource(found[0], what))
        what = "GET project/list"
        for item in objects(self.http.get("project/list"), what):
            owner = item.get("creator_username")
            if item.get("name") == name and owner in (None, "", username):
                return Project.from_json(resource(item, what))
        return None

    def projects(self) -> list[Project]:
        """List the projects that the user can see."""
        what = "GET project/list"
        return [
            Project.from_json(resource(item, what))
            for item in objects(self.http.get("project/list"), what)
        ]

    def add_project(
        self,
        name: str,
        description: str,
        key: str,
        *,
        datasets: Iterable[str] = (),
        doubtful: bool = False,
    ) -> str:
        """Make a project; see `Calls.create` for `key` and `doubtful`.

        Returns
        -------
        str
            Its id.
        """
        fields = {"name": name, "description": description, "datasets": ",".join(datasets)}
        return self.create(
            "project/add", fields, key=key, found_in="project/list", doubtful=doubtful
        )

    def update_project(
        self, project_id: str, name: str, description: str, datasets: Iterable[str]
    ) -> str:
        """Change a project; gives its id."""
        fields = {
            "id": project_id,
            "name": name,
            "description": marked(description),
            "datasets": ",".join(datasets),
        }
        return made_id(self.http.put("project/update", fields), "PUT project/update")

    def delete_project(self, project_id: str, *, force: bool = False) -> str:
        """Delete a project; gives its id."""
        found = self.http.delete("project/delete", {"id": project_id, "force": force})
        return made_id(found, "DELETE project/delete")

    def quota_groups(self) -> list[QuotaGroup]:
        """List the groups of resources that the user may draw from."""
        what = "GET quota_group/list"
        return [
            QuotaGroup.from_json(resource(item, what))
            for item in objects(self.http.get("quota_group/list"), what)
        ]

    def quota_group(self, group_id: str) -> QuotaGroup:
        """Read one group by its id."""
        what = "GET quota_group/query"
        found = self.http.get("quota_group/query", {"id": group_id})
        return QuotaGroup.from_json(
            resource(only_object(found, what, f"quota group {group_id}"), what)
        )

    def find_quota_group(self, name: str) -> QuotaGroup | None:
        """Find a group by its name; None where there is none.

        Notes
        -----
        Source: HTTP API, section 4: an unknown name gives an empty list, or 404.
        """
        what = "GET quota_group/query"
        try:
            found = objects(self.http.get("quota_group/query", {"name": name}), what)
        except NotFound:
            return None
        return QuotaGroup.from_json(resource(found[0], what)) if found else None

    def counters(self) -> dict[str, int]:
        """Read the engine's sums since its store was made; only with the feature ``counters``."""
        what = "GET engine/counters"
        found = an_object(self.http.get("engine/counters"), what)
        return {name: integer(found, name, what) for name in found}
