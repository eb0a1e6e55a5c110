"""Connections between processes (``multiprocessing.connection``)."""

from __future__ import annotations

# What programs and tests reach for beyond the documentation.
from procession_connection import (
    Client,
    Connection,
    Listener,
    Pipe,
    XmlClient,
    XmlListener,
    address_type,
    answer_challenge,
    answerChallenge,
    arbitrary_address,
    default_family,
    deliver_challenge,
    families,
    rebuild_connection,
    reduce_connection,
    wait,
)
from procession_core import AuthenticationError, BufferTooShort

_ConnectionBase = Connection

__all__ = (
    "AuthenticationError",
    "BufferTooShort",
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "XmlClient",
    "XmlListener",
    "address_type",
    "answerChallenge",
    "answer_challenge",
    "arbitrary_address",
    "default_family",
    "deliver_challenge",
    "families",
    "rebuild_connection",
    "reduce_connection",
    "wait",
)
