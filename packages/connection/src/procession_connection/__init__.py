"""Connection, Pipe, Listener, Client, wait, authentication, TLS."""

from __future__ import annotations

import sys

from ._address import address_type, arbitrary_address, default_family, families, private_directory
from ._client import Client
from ._connection import Connection
from ._descriptors import HAVE_SEND_HANDLE, recv_handle, recvfds, send_handle, sendfds
from ._handshake import (
    CHALLENGE,
    FAILURE,
    WELCOME,
    answer_challenge,
    create_response,
    deliver_challenge,
    verify_challenge,
)
from ._listener import Listener
from ._names import WireReducer, wire_reducer
from ._pickling import rebuild_connection, rebuild_socket, reduce_connection, reduce_socket
from ._pipe import Pipe
from ._sharer import DupFd, stop_sharing, token_for
from ._tls import TLSConnection
from ._unpickler import allow
from ._wait import wait
from ._xmlrpc import XmlClient, XmlListener

if sys.platform == "win32":
    from ._connection_windows import PipeConnection as PipeConnection

answerChallenge = answer_challenge
"""The older documentation's spelling."""

__all__ = (
    "CHALLENGE",
    "FAILURE",
    "HAVE_SEND_HANDLE",
    "WELCOME",
    "Client",
    "Connection",
    "DupFd",
    "Listener",
    "Pipe",
    "TLSConnection",
    "WireReducer",
    "XmlClient",
    "XmlListener",
    "address_type",
    "allow",
    "answerChallenge",
    "answer_challenge",
    "arbitrary_address",
    "create_response",
    "default_family",
    "deliver_challenge",
    "families",
    "private_directory",
    "rebuild_connection",
    "rebuild_socket",
    "recv_handle",
    "recvfds",
    "reduce_connection",
    "reduce_socket",
    "send_handle",
    "sendfds",
    "stop_sharing",
    "token_for",
    "verify_challenge",
    "wait",
    "wire_reducer",
)
