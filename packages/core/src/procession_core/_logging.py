"""The library's logger. ``logging`` itself is imported when somebody first asks for the logger."""

from __future__ import annotations

import sys

from ._runtime import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger, LogRecord
    from typing import Any

NOTSET = 0
SUBDEBUG = 5
DEBUG = 10
INFO = 20
SUBWARNING = 25
WARNING = 30

LOGGER_NAME = "procession"  # name_logger() changes it
DEFAULT_LOGGING_FORMAT = "[%(levelname)s/%(processName)s] %(message)s"

logger: Logger | None = None
_log_to_stderr = False


def is_logging() -> bool:
    """Say whether the library's logger was made."""
    return logger is not None


def sub_debug(message: object, *args: object) -> None:
    """Log at SUBDEBUG, below DEBUG: every finalizer and every message."""
    if logger is not None:
        logger.log(SUBDEBUG, message, *args, stacklevel=2)


def debug(message: object, *args: object) -> None:
    """Log at DEBUG."""
    if logger is not None:
        logger.log(DEBUG, message, *args, stacklevel=2)


def info(message: object, *args: object) -> None:
    """Log at INFO: a process starts, a process ends."""
    if logger is not None:
        logger.log(INFO, message, *args, stacklevel=2)


def sub_warning(message: object, *args: object) -> None:
    """Log at SUBWARNING, below WARNING."""
    if logger is not None:
        logger.log(SUBWARNING, message, *args, stacklevel=2)


def warn(message: object, *args: object) -> None:
    """Log at WARNING."""
    if logger is not None:
        logger.log(WARNING, message, *args, stacklevel=2)


def name_record(record: LogRecord) -> bool:
    """A filter that gives *record* the name of this process; logging itself knows only the standard
    library's.
    """
    record.processName = runtime.name
    return True


def name_logger(name: str) -> None:
    """Let ``logging.getLogger(name)`` give the library's logger from now on, whose name that is then.

    For programs that configure the standard library's logger by its name. Of two loggers that are both in use
    none is changed.
    """
    global LOGGER_NAME
    if logger is None:
        LOGGER_NAME = name
        return
    if logger.manager.loggerDict.setdefault(name, logger) is logger:
        LOGGER_NAME = logger.name = name


def get_logger() -> Logger:
    """Return the logger of this library, making it if necessary.

    It does not propagate to the root logger and has no handler until ``log_to_stderr()`` or the program adds
    one.
    """
    global logger
    if logger is None:
        import logging

        made = logging.getLogger(LOGGER_NAME)
        made.propagate = False
        made.addFilter(name_record)
        logger = made
    return logger


def log_to_stderr(level: int | str | None = None) -> Logger:
    """Add a handler that writes to ``sys.stderr``, set *level* unless None, and return the logger."""
    global _log_to_stderr
    import logging

    logger = get_logger()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(DEFAULT_LOGGING_FORMAT))
    logger.addHandler(handler)
    if level:
        logger.setLevel(level)
    _log_to_stderr = True
    return logger


def logging_state() -> tuple[bool, int] | None:
    """Return (logs to stderr, level) for a child to copy; None where the logger was never asked for."""
    if logger is None:
        return None
    return _log_to_stderr, logger.getEffectiveLevel()


def restore_logging(state: tuple[bool, int] | None) -> None:
    """In a child: set logging up as ``logging_state()`` found it in the parent."""
    if state is not None:
        to_stderr, level = state
        logger = get_logger()
        logger.setLevel(level)
        if to_stderr and not _log_to_stderr:
            log_to_stderr()


def name_all_records() -> None:
    """Let every logger's records carry this process's name, where ``logging`` is loaded and would not know
    it.

    ``logging`` asks ``sys.modules["multiprocessing"]``; without that package every record says MainProcess.
    """
    logging: Any = sys.modules.get("logging")
    if logging is None or "multiprocessing" in sys.modules:
        return
    factory = logging.getLogRecordFactory()
    if getattr(factory, "names_process", False):
        return

    def named(*args: Any, **kwargs: Any) -> LogRecord:
        record: LogRecord = factory(*args, **kwargs)
        if "multiprocessing" not in sys.modules and record.processName is not None:
            record.processName = runtime.name
        return record

    named.names_process = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(named)
