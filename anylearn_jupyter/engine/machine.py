"""What this machine has, what a task asked for, and which parts of it a task gets.

Until there are resource groups in the settings there is one, `default`: this machine's ``CPU``
(number), ``Memory`` (GiB) and ``GPU`` (number). A task that asks for nothing counts as one CPU, and
as one GPU where there is any: first come first served, one task a GPU, as many others as there are
CPUs. A task that asks for CPUs is kept to so many; one that asks for nothing may use what is idle.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anylearn_jupyter.engine.processes import system

DEFAULT_GROUP = "default"
"""The one group of the engine."""

_GIB = 1 << 30


class RequestRefused(ValueError):
    """A resource request that this machine can never serve; one sentence, for the user."""


@dataclass(frozen=True)
class Machine:
    """What tasks may use here.

    Attributes
    ----------
    cpus : tuple of int
        Numbers of the CPUs.
    gpus : tuple of str
        Names of the GPUs, as ``CUDA_VISIBLE_DEVICES`` has them.
    memory_gib : int
        Whole GiB.
    """

    cpus: tuple[int, ...]
    gpus: tuple[str, ...]
    memory_gib: int

    @classmethod
    def this(cls) -> Machine:
        """Look at the machine, as far as we may use it ourselves."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is None:
            gpus = tuple(str(number) for number in range(system.nvidia_gpus()))
        else:
            gpus = tuple(name.strip() for name in visible.split(",") if name.strip())
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        limit = system.limit_bytes()
        if limit is not None:
            memory = min(memory, limit)
        return cls(cpus=tuple(system.usable_cpus()), gpus=gpus, memory_gib=max(1, memory // _GIB))

    @property
    def capacity(self) -> dict[str, int]:
        """How much of each resource there is (HTTP API, section 4)."""
        return {"CPU": len(self.cpus), "Memory": self.memory_gib, "GPU": len(self.gpus)}

    @property
    def default(self) -> dict[str, int]:
        """What a task gets that asks for nothing."""
        return {"CPU": 1, "Memory": 0, "GPU": 1 if self.gpus else 0}

    def amounts(self, request: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """Read a request and check that it can ever be served.

        Parameters
        ----------
        request : iterable of mapping
            ``[{"default": {"CPU": 2}}]``, or empty. A CPU that is not mentioned counts as one, as
            every task needs it; anything else that is not mentioned as none.

        Returns
        -------
        dict of str to int
            An amount of every resource of `capacity`.

        Raises
        ------
        RequestRefused
            Another group, an unknown resource, no whole number, or more than there is.
        """
        groups = [group for entry in request for group in entry.items()]
        if not groups:
            return self.default
        if len(groups) > 1:
            raise RequestRefused("A task can ask one resource group only; name one of them.")
        group, wanted = groups[0]
        if group != DEFAULT_GROUP:
            raise RequestRefused(
                f"There is no resource group {group!r} here; the only one is {DEFAULT_GROUP!r}."
            )
        if not isinstance(wanted, Mapping):
            raise RequestRefused(f"The amounts asked of {group!r} are no object of numbers.")
        amounts = dict.fromkeys(self.capacity, 0) | {"CPU": 1}
        for name, amount in wanted.items():
            amounts[name] = self._amount(name, amount)
        return amounts

    def _amount(self, name: str, amount: object) -> int:
        if name not in self.capacity:
            there = ", ".join(f"{key} {value}" for key, value in self.capacity.items())
            raise RequestRefused(f"There is no resource {name!r} here; there are {there}.")
        if isinstance(amount, bool) or not isinstance(amount, int) or amount < 0:
            raise RequestRefused(
                f"The amount {amount!r} of {name} is no whole number from 0 to "
                f"{self.capacity[name]}."
            )
        if amount > self.capacity[name]:
            unit = " GiB" if name == "Memory" else ""
            raise RequestRefused(
                f"The task asks for {name} {amount}{unit} and this machine has "
                f"{self.capacity[name]}{unit}; ask for less."
            )
        return amount

    def allocated(self, allocations: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """Add up what tasks have, by resource."""
        taken = dict.fromkeys(self.capacity, 0)
        for allocation in allocations:
            for name in taken:
                taken[name] += int(allocation.get(name, 0))
        return taken

    def allocate(
        self, request: Iterable[Mapping[str, Any]], allocations: Iterable[Mapping[str, Any]]
    ) -> dict[str, Any] | None:
        """Choose what a task gets, beside what others have; None if it has to wait.

        Returns
        -------
        dict or None
            The amounts by resource, and ``cpus`` (numbers to be kept to; empty for any) and
            ``gpus`` (names). It is what the store keeps as the task's allocation.
        """
        asked = list(request)
        taken = list(allocations)
        amounts = self.amounts(asked)
        used = self.allocated(taken)
        if any(used[name] + amount > self.capacity[name] for name, amount in amounts.items()):
            return None
        gpus = _free(self.gpus, taken, "gpus")[: amounts["GPU"]]
        cpus: list[int] = []
        if asked and any(asked):
            cpus = _free(self.cpus, taken, "cpus")[: amounts["CPU"]]
        return {**amounts, "cpus": cpus, "gpus": gpus}


def _free(everything: Iterable[Any], taken: Iterable[Mapping[str, Any]], kind: str) -> list[Any]:
    used = {one for allocation in taken for one in allocation.get(kind, ())}
    return [one for one in everything if one not in used]
