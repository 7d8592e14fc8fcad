"""What ends a magic from outside, said in a sentence: the user's interrupt, and a full disk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from anylearn_jupyter.errors import Interrupted
from anylearn_jupyter.home import said_when_full

F = TypeVar("F", bound=Callable[..., object])


def said(function: F) -> F:
    """Have a magic end in a sentence, where IPython would show where in our code it was.

    Parameters
    ----------
    function : callable
        A magic's method. One that knows what goes on after an interrupt raises `Interrupted`
        itself.
    """

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> object:
        try:
            with said_when_full():
                return function(*args, **kwargs)
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted("this cell has ended; tasks go on.") from None

    return cast(F, guarded)
