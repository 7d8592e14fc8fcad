"""Any resource: listed, registered, changed, deleted, made of a task's results (section 6.1)."""

from __future__ import annotations

from anylearn_jupyter.client.api.base import Calls, marked
from anylearn_jupyter.client.decoding import made_id, objects, resource
from anylearn_jupyter.client.forms import Form
from anylearn_jupyter.entities import Algorithm, File


class ResourceCalls(Calls):
    """Endpoints that algorithms, datasets, models and files have in common.

    `kind` is ``algorithm``, ``dataset``, ``model`` or ``file`` in each.
    """

    def algorithms(self) -> list[Algorithm]:
        """List the algorithms that the user can see."""
        what = "GET algorithm/list"
        found = objects(self.http.get("algorithm/list"), what)
        return [Algorithm.from_json(resource(item, what)) for item in found]

    def files(self) -> list[File]:
        """List the files that the user can see, such as the results of tasks."""
        what = "GET file/list"
        found = objects(self.http.get("file/list"), what)
        return [File.from_json(resource(item, what)) for item in found]

    def add_resource(self, kind: str, fields: Form, key: str, *, doubtful: bool = False) -> str:
        """Register a resource, without content yet; see `Calls.create` for `key` and `doubtful`.

        Parameters
        ----------
        fields : Mapping
            The form of HTTP API, section 6.2 or 7.1; None leaves a field out.

        Returns
        -------
        str
            Its id.
        """
        return self.create(
            f"{kind}/add", fields, key=key, found_in=f"{kind}/list", doubtful=doubtful
        )

    def update_resource(self, kind: str, fields: Form) -> str:
        """Change a resource: `fields` has its id; what it leaves out may be kept or emptied."""
        form = dict(fields)
        if form.get("description") is not None:
            form["description"] = marked(str(form["description"]))
        return made_id(self.http.put(f"{kind}/update", form), f"PUT {kind}/update")

    def delete_resource(self, kind: str, resource_id: str, *, force: bool = False) -> str:
        """Delete a resource with its content; gives its id."""
        found = self.http.delete(f"{kind}/delete", {"id": resource_id, "force": force})
        return made_id(found, f"DELETE {kind}/delete")

    def transform_model(self, fields: Form, key: str, *, doubtful: bool = False) -> str:
        """Make a model of a task's results; see `Calls.create` for `key` and `doubtful`.

        Parameters
        ----------
        fields : Mapping
            The form of HTTP API, section 9.7.

        Returns
        -------
        str
            The model's id; the server may still be copying.
        """
        return self.create(
            "model/transform", fields, key=key, found_in="model/list", doubtful=doubtful
        )
