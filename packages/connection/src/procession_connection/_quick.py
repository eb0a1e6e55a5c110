"""The handshake where both sides run this library and nobody is slow: four turns, each one read and one write.

Whatever does not look exactly like that goes on in the generators of ``_handshake``, from where it stands. These
functions prove nothing in another way or order than those do; they only spend less on it. docs/internals/handshake.md.
"""

from __future__ import annotations

from . import _framing
from ._handshake import (
    CHALLENGE,
    MARK,
    MESSAGE_LIMIT,
    WELCOME,
    accepted,
    accepting,
    authentication_code,
    challenge,
    connected,
    connecting,
    same,
)
from ._header import header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._handshake import Handshake

    Standing = tuple[Handshake, bytes, int]
    """How far a handshake has come: what goes on with it, what was read for that already, the limit of the next."""

MOST = 2 * (4 + MESSAGE_LIMIT)
"""The bytes that may be read at once: two messages, where the other side sends two in one turn."""
_SPIN = 40e-6
"""Seconds to look for an answer before sleeping. An honest peer computes for less, and waking up costs as much."""

_DIGEST = b"{sha256}"
_CODE = 8 + 32
_NONCE = 8 + 40
_ASKS = header(len(CHALLENGE) + _NONCE) + CHALLENGE
_ANSWERS = header(_CODE) + _DIGEST
_WELCOMES = header(len(WELCOME)) + WELCOME
_ASKS_SIZE = len(_ASKS) + _NONCE
_ANSWERS_SIZE = 4 + _CODE


def _marked(data: bytes, at: int) -> bool:
    # Whether a challenge of this library, and nothing behind it, is there.
    return (
        len(data) == at + _ASKS_SIZE
        and data.startswith(_ASKS, at)
        and data.startswith(_DIGEST, at + len(_ASKS))
        and data.endswith(MARK)
    )


def _standing(handshake: Handshake, data: bytes) -> Standing:
    limit = next(handshake)
    if not isinstance(limit, int):
        raise TypeError(f"a handshake that waits was expected to name a limit, not {limit!r}")
    return handshake, data, limit


def accept(fd: int, authkey: bytes, patient: bool) -> Standing | None:
    """Let the client at *fd* prove that it knows *authkey*, and prove it to the client.

    Returns None when that is done, and the client has shown that it runs this library; else where the handshake
    stands. Waits for an answer a moment if *patient*, else not at all. Raises OSError.
    """
    own = challenge(marked=True)
    _framing.write(fd, _ASKS + own)
    data = b""
    if patient:
        expected = authentication_code(authkey, own, "sha256")
        data = _framing.read_soon(fd, MOST, _SPIN) or b""
        if (
            _marked(data, _ANSWERS_SIZE)
            and data.startswith(_ANSWERS)
            and same(data[len(_ANSWERS) : _ANSWERS_SIZE], expected)
        ):
            code = authentication_code(authkey, data[-_NONCE:], "sha256")
            _framing.write(fd, b"".join((_WELCOMES, _ANSWERS, code)))
            # The client may go on at once after this, so not a byte more may be taken.
            verdict = _framing.read_soon(fd, len(_WELCOMES), _SPIN) or b""
            return None if verdict == _WELCOMES else _standing(accepted(), verdict)
    handshake = accepting(authkey, own)
    next(handshake)  # the challenge, which is on its way
    return _standing(handshake, data)


def connect(fd: int, authkey: bytes) -> Standing | None:
    """Prove to the listener at *fd* that this side knows *authkey*, and let it prove the same.

    Returns as ``accept()``. Blocks until the listener has answered. Raises OSError.
    """
    data = _framing.read_soon(fd, MOST, _SPIN) or _framing.read(fd, MOST)
    if not _marked(data, 0):
        return _standing(connecting(authkey), data)
    own = challenge(marked=True)
    code = authentication_code(authkey, data[-_NONCE:], "sha256")
    _framing.write(fd, b"".join((_ANSWERS, code, _ASKS, own)))
    expected = b"".join((_WELCOMES, _ANSWERS, authentication_code(authkey, own, "sha256")))
    data = _framing.read_soon(fd, MOST, _SPIN) or _framing.read(fd, MOST)
    if not same(data, expected):
        return _standing(connected(authkey, own), data)
    _framing.write(fd, _WELCOMES)
    return None
