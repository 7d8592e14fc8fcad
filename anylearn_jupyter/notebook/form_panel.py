"""The part of a form that has a page side of its own: hints, faults, and the cell to copy."""

from __future__ import annotations

import traitlets

from anylearn_jupyter.notebook.page_widget import PageWidget, page_module, page_styles


class FormPanel(PageWidget):
    """What stands below the controls of a form, and the words beside each of them.

    Attributes
    ----------
    form_id : str
        The form's; its static twin carries it too.
    hints, errors : dict
        Text by the class of a control.
    required : list
        The classes of controls that want a value.
    problems : list of dict
        ``kind`` (error, info, good) and ``text``: what is about no single control.
    cell : str
        The cell that the form stands for.
    """

    _esm = page_module(("form",))
    _css = page_styles(("form",))
    form_id = traitlets.Unicode().tag(sync=True)
    hints = traitlets.Dict().tag(sync=True)
    errors = traitlets.Dict().tag(sync=True)
    required: traitlets.List[str] = traitlets.List().tag(sync=True)
    problems: traitlets.List[dict[str, str]] = traitlets.List().tag(sync=True)
    cell = traitlets.Unicode().tag(sync=True)
