"""What went wrong in a server, as its clients see it."""

from __future__ import annotations

from procession_core import ProcessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RemoteError(Exception):
    """The server could not carry out a request; ``args[0]`` is the text of its traceback."""

    def __str__(self) -> str:
        line = "-" * 75
        return f"\n{line}\n{self.args[0] if self.args else ''}{line}"


class RemoteTraceback(Exception):
    """The traceback of an exception in the server's process: the ``__cause__`` of the exception here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteTraceback, (self.text,)


class ManagerStateError(ProcessError, ValueError):
    """A manager was asked for something before its start, or after its shutdown."""


def format_error(error: BaseException, always: bool = False) -> str:
    """Return the traceback of *error* as text, without the server's own frames at its beginning.

    Empty if there are no others, unless *always*.
    """
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__package__") == __package__:
        frames = frames.tb_next
    if frames is None and error.__cause__ is None:
        if not always:
            return ""
        frames = error.__traceback__
    import traceback

    return "".join(traceback.format_exception(type(error), error, frames))
