"""Data on the server, under the published name."""

from __future__ import annotations

from dataclasses import dataclass

from anylearn_jupyter import entities
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.submit.objects.resource import Resource


@dataclass
class Dataset(Resource):
    """Data on the server; see `Resource`.

    Examples
    --------
    >>> Dataset(name="digits").save()  # doctest: +SKIP
    True
    """

    kind = "dataset"

    @staticmethod
    def _read(api: Api, resource_id: str) -> entities.Dataset:
        return api.dataset(resource_id)

    @staticmethod
    def _listed(api: Api) -> list[entities.Dataset]:
        return api.datasets()
