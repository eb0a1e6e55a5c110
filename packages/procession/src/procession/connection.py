"""Connections between processes (``multiprocessing.connection``)."""

from __future__ import annotations

import sys

from procession_connection import (
    CHALLENGE,
    FAILURE,
    WELCOME,
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
from procession_connection import create_response as _create_response
from procession_connection import verify_challenge as _verify_challenge
from procession_core import AuthenticationError, BufferTooShort
from procession_core import ForkingPickler as _ForkingPickler

if sys.platform == "win32":
    from procession_connection import PipeConnection as PipeConnection

_CHALLENGE, _FAILURE, _WELCOME = CHALLENGE, FAILURE, WELCOME
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
