"""Environments and algorithms: what code runs, and in what (HTTP API, sections 4 and 7)."""

from __future__ import annotations

from anylearn_jupyter.client.api.base import Calls, marked
from anylearn_jupyter.client.decoding import (
    an_object,
    made_id,
    objects,
    only_object,
    resource,
    text,
)
from anylearn_jupyter.client.forms import encode_file
from anylearn_jupyter.client.replies import decode, one_line
from anylearn_jupyter.entities import Algorithm
from anylearn_jupyter.errors import NotFound, OptionError


class CodeCalls(Calls):
    """Endpoints of mirrors and algorithms."""

    def mirrors(self) -> dict[str, str]:
        """List the environments: name to id."""
        what = "GET mirror/list"
        return {
            text(item, "name", what): text(item, "id", what)
            for item in objects(self.http.get("mirror/list"), what)
        }

    def mirror_id(self, name: str) -> str:
        """Find an environment by its exact name.

        Raises
        ------
        OptionError
            There is none; the message lists what there is.
        """
        mirrors = self.mirrors()
        if name not in mirrors:
            known = ", ".join(sorted(one_line(known, 60) for known in mirrors)) or "none"
            raise OptionError(
                f"mirror_name={name!r} is no environment of {self.http.place}; it has: {known}."
            )
        return mirrors[name]

    def find_algorithm(self, name: str) -> Algorithm | None:
        """Find the calling user's own algorithm of this name; None where there is none.

        Notes
        -----
        Source: HTTP API, section 7.1, ``algorithm/custom``.
        """
        what = "GET algorithm/custom"
        try:
            found = self.http.get("algorithm/custom", {"name": name})
        except NotFound:
            return None
        if found in ([], {}, None):
            return None
        return Algorithm.from_json(resource(an_object(found, what), what))

    def algorithm(self, algorithm_id: str) -> Algorithm:
        """Read one algorithm by its id."""
        what = "GET algorithm/query"
        found = self.http.get("algorithm/query", {"id": algorithm_id})
        return Algorithm.from_json(
            resource(only_object(found, what, f"algorithm {algorithm_id}"), what)
        )

    def algorithm_named(self, fullname: str) -> Algorithm:
        """Read one algorithm by ``<username>/<name>``; only servers from 0.17 on know that."""
        what = "GET algorithm/query"
        found = self.http.get("algorithm/query", {"fullname": fullname})
        return Algorithm.from_json(
            resource(only_object(found, what, f"algorithm {fullname}"), what)
        )

    def add_algorithm(
        self, name: str, *, mirror_id: str, description: str, key: str, doubtful: bool = False
    ) -> str:
        """Register an algorithm; see `Calls.create` for `key` and `doubtful`.

        Returns
        -------
        str
            Its id.
        """
        return self.create(
            "algorithm/add",
            _algorithm_form(name, mirror_id, description),
            key=key,
            found_in="algorithm/list",
            doubtful=doubtful,
        )

    def update_algorithm(
        self, algorithm_id: str, name: str, *, mirror_id: str, description: str
    ) -> str:
        """Give an algorithm another environment or description."""
        form = {"id": algorithm_id, **_algorithm_form(name, mirror_id, marked(description))}
        return made_id(self.http.put("algorithm/update", form), "PUT algorithm/update")

    def finish_sync(self, algorithm_id: str, commit: str) -> None:
        """Tell the server that its repository holds this commit; it checks that.

        Raises
        ------
        ServerError
            It has no such commit.

        Notes
        -----
        Source: HTTP API, section 7.2, step 6. Saying it twice is saying it once.
        """
        self.http.post(
            "resource/sync_finish",
            {"algorithm_id": algorithm_id, "checkout_sha": commit},
            repeatable=True,
        )

    def push_pack(self, algorithm_id: str, commit: str, pack: bytes) -> Algorithm:
        """Send a small pack that completes a commit, on a server with the feature ``pack_post``.

        Parameters
        ----------
        pack : bytes
            As large as the server announces, at most.

        Returns
        -------
        Algorithm
            As it is now, with that code.

        Raises
        ------
        Conflict
            It refuses the pack, or lacks what the pack builds on.

        Notes
        -----
        Source: docs/protocol.md, ``pack_post``. Sending it twice is sending it once.
        """
        what = "POST resource/push_pack"
        body, content_type = encode_file(
            {"algorithm_id": algorithm_id, "checkout_sha": commit}, pack
        )
        reply = self.http.exchange(
            "POST",
            "resource/push_pack",
            data=body,
            headers={"Content-Type": content_type},
            repeatable=True,
        )
        found = an_object(decode(reply), what).get("algorithm")
        return Algorithm.from_json(resource(an_object(found, what), what))


def _algorithm_form(name: str, mirror_id: str, description: str) -> dict[str, object]:
    return {
        "name": name,
        "description": description,
        "public": 0,
        "filename": f"{name}.zip",
        "tags": "",
        "mirror_id": mirror_id,
        "train_params": "null",
        "follows_anylearn_norm": 0,
    }
