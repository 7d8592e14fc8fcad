"""The resources of a form: a group with what is free in it, and an amount of each resource."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import ipywidgets as widgets

from anylearn_jupyter.notebook.expressions import escaped
from anylearn_jupyter.notebook.form_check import option_key
from anylearn_jupyter.notebook.form_choices import Choices, group_label
from anylearn_jupyter.notebook.form_controls import Controls
from anylearn_jupyter.notebook.form_draft import Draft
from anylearn_jupyter.notebook.form_magic import MagicFields
from anylearn_jupyter.notebook.resources_view import amount_text
from anylearn_jupyter.submit.capacity import ResourceCapacity

_MARKS = set("=:{} \t'\"\\#$")


class Resources:
    """The controls for what a task asks for.

    As long as the server has not answered, and where the cell says it in another way, they are the
    options themselves.

    Parameters
    ----------
    controls : Controls
        Makes the controls.
    draft : Draft
        What they show and change.
    fields : MagicFields
        Makes the fields of the options.

    Attributes
    ----------
    box : VBox
        The controls.
    """

    def __init__(self, controls: Controls, draft: Draft, fields: MagicFields) -> None:
        self._controls = controls
        self._draft = draft
        self._choices = Choices()
        self._written = [fields.field("resources"), fields.field("quota_group_name")]
        self.box = controls.rows(self._written, "rows", "resources")

    def offer(self, choices: Choices) -> None:
        """Offer what the server has."""
        self._choices = choices
        self._fill()

    def _fill(self) -> None:
        asked = self._asked()
        if asked is None or not self._choices.groups:
            self.box.children = tuple(self._written)
            return
        name, amounts = asked
        self.box.children = (self._group(name), *self._amounts(name, amounts))

    def _fill_amounts(self, name: str, amounts: dict[str, str]) -> None:
        """Put the amounts of another group below its control, which whoever chooses is in."""
        self.box.children = (self.box.children[0], *self._amounts(name, amounts))

    def _asked(self) -> tuple[str, dict[str, str]] | None:
        """Give the group and the amounts of the cell; None where it says them in another way."""
        if self._draft.texts("quota_group_request") or self._draft.texts("resource_request"):
            return None
        named = set(self._draft.texts("quota_group_name"))
        amounts: dict[str, str] = {}
        for spec in self._draft.texts("resources"):
            place, sign, amount = (part.strip() for part in spec.rpartition("="))
            group, colon, name = (part.strip() for part in place.rpartition(":"))
            if not sign or name in amounts or _MARKS & set(group + name):
                return None
            named |= {group} if colon else set()
            amounts[name] = amount
        if len(named) > 1 or any(_MARKS & set(one) for one in named):
            return None
        return next(iter(named), ""), amounts

    def _group(self, name: str) -> widgets.Widget:
        known = [one for one in self._choices.groups if not _MARKS & set(one.title)]
        default = self._choices.group("")
        first = group_label(default) if default is not None else "the server's own default"
        options = [(first, "")]
        options += [(group_label(one), one.title) for one in known if one is not default]
        found = self._choices.group(name) if name else None
        value = found.title if found is not None and found in known else name
        if found is not None and found is default:
            options.append((f"{group_label(found)}, by its name", value))
        if value not in [one for _, one in options]:
            options.append((f"{name} (not on this server)", name))
        control = self._controls.choice("group", "Group", options, value, self._put_group)
        control.add_class("anl-form-wide")
        return control

    def _amounts(self, name: str, amounts: dict[str, str]) -> Iterable[widgets.Widget]:
        group = self._choices.group(name)
        known = {one.name: one for one in group.resources} if group is not None else {}
        spelled = {one.casefold(): one for one in known}
        given = {spelled.get(one.casefold(), one): amount for one, amount in amounts.items()}
        for one in dict.fromkeys([*known, *given]):
            if _MARKS & set(one):
                continue
            resource = known.get(one)
            if resource is not None and not resource.total and one not in given:
                continue
            yield self._controls.text(
                f"amount {one}",
                one,
                given.get(one, ""),
                partial(self._put_amount, one),
                hint=_free_text(resource),
                placeholder=f"default {amount_text(resource.default)}" if resource else "",
            )

    def _put_group(self, name: str) -> None:
        _, amounts = self._asked() or ("", {})
        self._write(name, amounts)
        self._fill_amounts(name, amounts)

    def _put_amount(self, name: str, text: str) -> None:
        amount = text.strip()
        group, amounts = self._asked() or ("", {})
        kept = {one: text for one, text in amounts.items() if one.casefold() != name.casefold()}
        if amount:
            kept[name] = amount
        self._write(group, kept)

    def _write(self, group: str, amounts: dict[str, str]) -> None:
        place = f"{escaped(group)}:" if group else ""
        self._draft.put_texts(
            "resources", [f"{place}{name}={amount}" for name, amount in amounts.items()]
        )
        self._draft.put("quota_group_name", group if group and not amounts else "")

    def key_of(self, message: str) -> str:
        """Name the field that a sentence about resources is about."""
        asked = self._asked()
        if asked is None or not self._choices.groups:
            return option_key("resources")
        named = (one for one in asked[1] if f"{one}:" in message or f"{one}=" in message)
        return next((f"amount {one}" for one in named), "group")


def _free_text(resource: ResourceCapacity | None) -> str:
    if resource is None:
        return "this group has no such resource"
    if resource.free is None:
        return f"of {amount_text(resource.total)}; what is free is unknown"
    return f"{amount_text(resource.free)} of {amount_text(resource.total)} free now"
