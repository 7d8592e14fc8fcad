"""A file on the server, such as a task's results, under the published name."""

from __future__ import annotations

from dataclasses import dataclass

from anylearn_jupyter import entities
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.submit.objects.resource import Resource


@dataclass
class File(Resource):
    """A file on the server; the results of a task are one. See `Resource`."""

    kind = "file"

    @staticmethod
    def _read(api: Api, resource_id: str) -> entities.File:
        return api.file(resource_id)

    @staticmethod
    def _listed(api: Api) -> list[entities.File]:
        return api.files()
