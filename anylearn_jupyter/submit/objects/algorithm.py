"""Code on the server, under the published name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from anylearn_jupyter import entities
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.submit.objects.resource import Resource
from anylearn_jupyter.submit.objects.saving import needed
from anylearn_jupyter.submit.request import DEFAULT_MIRROR

TrainParams = list[dict[str, Any]]
"""The parameters that an algorithm declares: each with its name, perhaps type and default."""


class _DeclaredParams:
    """An attribute that is set as JSON text, as it is on the wire, and read as what that says."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = f"_{name}"

    def __get__(self, instance: object | None, owner: type) -> TrainParams | None:
        if instance is None:
            return None  # the default, for the dataclass
        found: TrainParams | None = instance.__dict__.get(self._place)
        return found

    def __set__(self, instance: object, value: str | TrainParams | None) -> None:
        instance.__dict__[self._place] = _decoded(value)


@dataclass
class Algorithm(Resource):
    """Code on the server; see `Resource`.

    Attributes
    ----------
    tags : str or None
        Free words.
    mirror_id : str or None
        The environment that it runs in. None when it is saved: the one that every server has.
    train_params : list of dict or None
        The parameters that it declares; set as JSON text or as a list.
    follows_anylearn_norm : bool
        Whether it keeps the platform's conventions for parameters.
    git_address : str or None
        Its repository, where it has one.
    git_migrated : bool
        Whether its code is in that repository.

    Notes
    -----
    Source: HTTP API, section 7.1.
    """

    tags: str | None = None
    mirror_id: str | None = None
    train_params: _DeclaredParams = _DeclaredParams()
    follows_anylearn_norm: bool = True
    git_address: str | None = None
    git_migrated: bool = False

    kind = "algorithm"

    @property
    def default_train_params(self) -> dict[str, Any]:
        """The declared parameters that have a default: name to default."""
        return {one["name"]: one["default"] for one in self._declared() if "default" in one}

    @property
    def required_train_params(self) -> TrainParams:
        """The declared parameters that have none."""
        return [one for one in self._declared() if "default" not in one]

    @classmethod
    def get_user_custom_algorithm_by_name(cls, name: str) -> Self:
        """Find the user's own algorithm of this name.

        Raises
        ------
        NotFound
            There is none.
        """
        connection = current_connection()
        found = connection.api.find_algorithm(name)
        if found is None:
            raise NotFound(f"There is no algorithm {name!r} of yours on {connection.address}.")
        return cls.of(found, connection.server)

    def sync_finish(self, checkout_sha: str | None = None) -> None:
        """Tell the server that its repository has a commit, which it checks.

        Parameters
        ----------
        checkout_sha : str
            40 hexadecimal digits.
        """
        self._api().finish_sync(self._id(), needed(checkout_sha, "checkout_sha"))

    def _declared(self) -> TrainParams:
        params: TrainParams | None = self.train_params
        return params or []

    def _form(self) -> dict[str, Any]:
        if self.id is None and self.mirror_id is None:
            self.mirror_id = self._api().mirror_id(DEFAULT_MIRROR)
        return {
            **super()._form(),
            "tags": "" if self.tags is None and self.id is None else self.tags,
            "mirror_id": self.mirror_id,
            "train_params": json.dumps(self.train_params, ensure_ascii=False),
            "follows_anylearn_norm": self.follows_anylearn_norm,
        }

    @staticmethod
    def _read(api: Api, resource_id: str) -> entities.Algorithm:
        return api.algorithm(resource_id)

    @staticmethod
    def _listed(api: Api) -> list[entities.Algorithm]:
        return api.algorithms()


def _decoded(value: str | TrainParams | None) -> TrainParams | None:
    """Read declared parameters; nothing at all is None."""
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = json.loads(value)
        except ValueError as error:
            raise OptionError(f"train_params={value!r:.80} is no JSON text of a list.") from error
    if value is None:
        return None
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in value
    ):
        raise OptionError(f"train_params={value!r:.80} is no list of objects with a name.")
    return value
