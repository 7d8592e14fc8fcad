"""A model on the server, under the published name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anylearn_jupyter import entities
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.submit.objects.resource import Resource


@dataclass
class Model(Resource):
    """A model on the server; see `Resource`.

    Attributes
    ----------
    algorithm_id : str or None
        The algorithm that it is a model of.
    """

    algorithm_id: str | None = None

    kind = "model"

    def _form(self) -> dict[str, Any]:
        return {**super()._form(), "algorithm_id": self.algorithm_id}

    @staticmethod
    def _read(api: Api, resource_id: str) -> entities.Model:
        return api.model(resource_id)

    @staticmethod
    def _listed(api: Api) -> list[entities.Model]:
        return api.models()
