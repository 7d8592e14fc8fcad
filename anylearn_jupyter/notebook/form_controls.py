"""The controls of a form: ipywidgets that share their looks, each known by the key of its field."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets as widgets
from ipywidgets.widgets.widget_bool import CheckboxStyle
from ipywidgets.widgets.widget_description import DescriptionStyle
from ipywidgets.widgets.widget_string import HTMLStyle, TextStyle

Put = Callable[[Any], None]
"""Writes what was typed or chosen into the draft."""

Edit = Callable[[str, Callable[[], None]], None]
"""Carries a change out: the key of the field, and what changes the draft."""


class Controls:
    """Makes controls, and keeps what is said beside each of them.

    Every control has a class by which the page finds it, and shares its layout and style with the
    others: each of those would be a message of its own.

    Parameters
    ----------
    edit : Edit
        Told of each change.
    """

    def __init__(self, edit: Edit) -> None:
        self._edit = edit
        self._classes: dict[str, str] = {}
        self._layout = widgets.Layout()
        self._text_style = TextStyle()
        self._style = DescriptionStyle()
        self._check_style = CheckboxStyle()
        self._button_style = widgets.ButtonStyle()
        self._html_style = HTMLStyle()
        self.hints: dict[str, str] = {}
        self.required: set[str] = set()

    def class_of(self, key: str) -> str:
        """Give the class of the control of a field."""
        return self._classes.setdefault(key, f"anl-f-{len(self._classes)}")

    def knows(self, key: str) -> bool:
        """Whether there is a control of this field."""
        return key in self._classes

    def by_class(self, texts: dict[str, str]) -> dict[str, str]:
        """Give texts by the class of the control, of texts by the key of the field."""
        return {self.class_of(key): text for key, text in texts.items()}

    def text(
        self,
        key: str,
        label: str,
        value: str,
        put: Put,
        *,
        hint: str = "",
        placeholder: str = "",
        options: Sequence[str] | None = None,
        required: bool = False,
    ) -> widgets.Text:
        """Make a line to type in; with options, one that offers them."""
        kind = widgets.Text if options is None else widgets.Combobox
        more = {} if options is None else {"options": tuple(options)}
        control = kind(
            value=value,
            description=label,
            placeholder=placeholder,
            layout=self._layout,
            style=self._text_style,
            **more,
        )
        return self._known(control, key, put, hint, required)

    def lines(self, key: str, label: str, value: str, put: Put, *, hint: str) -> widgets.Textarea:
        """Make a control for several lines."""
        control = widgets.Textarea(
            value=value,
            description=label,
            rows=max(2, value.count("\n") + 1),
            layout=self._layout,
            style=self._text_style,
        )
        return self._known(control, key, put, hint)

    def choice(
        self,
        key: str,
        label: str,
        options: Iterable[tuple[str, str]],
        value: str,
        put: Put,
        *,
        hint: str = "",
        required: bool = False,
    ) -> widgets.Dropdown:
        """Make a list to choose from: what is shown, and what it stands for."""
        control = widgets.Dropdown(
            options=list(options),
            value=value,
            description=label,
            layout=self._layout,
            style=self._style,
        )
        return self._known(control, key, put, hint, required)

    def flag(self, key: str, label: str, put: Put, *, on: bool, hint: str) -> widgets.Checkbox:
        """Make a box to tick."""
        control = widgets.Checkbox(
            value=on, description=label, layout=self._layout, style=self._check_style
        )
        return self._known(control, key, put, hint)

    def button(self, label: str, pressed: Callable[[], None], *looks: str) -> widgets.Button:
        """Make a button; `primary` among its looks is the one that matters most."""
        style = "primary" if "primary" in looks else ""
        made = widgets.Button(
            description=label, button_style=style, layout=self._layout, style=self._button_style
        )
        for look in looks:
            made.add_class(f"anl-form-{look}")
        made.on_click(lambda _: pressed())
        return made

    def section(self, title: str, children: Iterable[widgets.Widget], *looks: str) -> widgets.VBox:
        """Put controls below a heading, which is ours and no data."""
        head = widgets.HTML(f"<h3>{title}</h3>", layout=self._layout, style=self._html_style)
        return self.rows((head, *children), "section", *looks)

    def group(self, title: str, children: Iterable[widgets.Widget]) -> widgets.VBox:
        """Put controls of a section together, below a smaller heading of ours; empty for none."""
        text = html.escape(f"{title[:1].upper()}{title[1:]}")
        head = widgets.HTML(f"<h4>{text}</h4>", layout=self._layout, style=self._html_style)
        return self.rows((*([head] if title else []), *children), "rows")

    def rows(self, children: Iterable[widgets.Widget], *looks: str) -> widgets.VBox:
        """Put controls below each other."""
        box = widgets.VBox(tuple(children), layout=self._layout)
        for look in looks:
            box.add_class(f"anl-form-{look}")
        return box

    def _known(self, control: Any, key: str, put: Put, hint: str, required: bool = False) -> Any:
        control.add_class("anl-field")
        control.add_class(self.class_of(key))
        self.hints[key] = hint
        (self.required.add if required else self.required.discard)(key)
        control.observe(lambda change: self._edit(key, lambda: put(change["new"])), names="value")
        return control
