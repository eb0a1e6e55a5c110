"""The handshake: each side proves that it knows the key. docs/internals/handshake.md.

The protocol is written once, as generators that do no input and output: they yield bytes to send a message
and the largest size to receive one. A blocking connection and the listener's loop over many half-open ones
drive them.
"""

from __future__ import annotations

import os

from procession_core import AuthenticationError, runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    Handshake = Generator[bytes | int, bytes, bool]
    """Returns whether the other side has said that it runs this library."""

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
MESSAGE_LIMIT = 256
"""No message before the end of the handshake is longer."""
MARK = b"procession/oob-1"
"""The end of the nonces of this library; for CPython 16 bytes as random as the others."""
_NONCE_BYTES = 40
_LEGACY_NONCE_BYTES = 20
_LEGACY_DIGEST_BYTES = 16
_DIGEST = "sha256"
_DIGESTS = frozenset(("md5", "sha256", "sha384", "sha3_256", "sha3_384"))


def check_key(authkey: Any) -> bytes:
    """Return *authkey* as bytes; an ASCII string, as in programs for Python 2, is encoded.

    Raises TypeError for anything else.
    """
    if isinstance(authkey, (bytes, bytearray)):
        return bytes(authkey)
    if isinstance(authkey, str) and authkey.isascii():
        return authkey.encode("ascii")
    raise TypeError(f"authkey should be a byte string, not {authkey!r:.40}")


def key_for(authkey: Any, authenticate: bool | None) -> bytes | None:
    """Return the key that these arguments ask for, or None for no authentication."""
    if authkey is not None:
        return check_key(authkey)
    return bytes(runtime.authkey) if authenticate else None


def _split(message: bytes) -> tuple[str, bytes]:
    # "{sha256}rest" names a digest; a message of an old peer names none.
    if message.startswith(b"{") and b"}" in message[:20]:
        name, _, rest = message[1:].partition(b"}")
        digest = name.decode("ascii", "replace")
        if digest in _DIGESTS:
            return digest, rest
        raise AuthenticationError(
            f"unsupported digest: {digest!r}; allowed are {', '.join(sorted(_DIGESTS))}"
        )
    return "", message


_module: Any = None


def _hmac() -> Any:
    # Imported by the first handshake: it costs as much as all of this package.
    global _module
    if _module is None:
        import hmac

        _module = hmac
    return _module


def same(first: bytes, second: bytes) -> bool:
    """Compare in a time that does not tell where they differ."""
    return bool(_hmac().compare_digest(first, second))


def authentication_code(authkey: bytes, message: bytes, digest: str) -> bytes:
    """Return the code that proves knowledge of *authkey*. Raises AuthenticationError without the *digest*."""
    try:
        code: bytes = _hmac().digest(authkey, message, digest)
    except ValueError as error:
        raise AuthenticationError(
            f"digest {digest} is not available in this Python's hashlib: {error}"
        ) from error
    return code


def create_response(authkey: bytes, message: bytes) -> bytes:
    """Return the answer to the challenge *message* in the digest that it asks for, as the peer's age
    needs."""
    # Tested first: twenty random bytes may look like anything.
    digest, rest = ("", message) if len(message) == _LEGACY_NONCE_BYTES else _split(message)
    if digest:
        if len(rest) < _LEGACY_NONCE_BYTES:
            raise AuthenticationError(f"challenge of {len(rest)} random bytes is too short")
        return b"{%s}" % digest.encode() + authentication_code(authkey, message, digest)
    if len(message) != _LEGACY_NONCE_BYTES:
        raise AuthenticationError(f"challenge of {len(message)} bytes is neither an old nor a new one")
    return authentication_code(authkey, message, "md5")


def verify_challenge(authkey: bytes, message: bytes, response: bytes) -> None:
    """Raise AuthenticationError unless *response* answers the challenge *message*."""
    digest, code = ("md5", response) if len(response) == _LEGACY_DIGEST_BYTES else _split(response)
    if not digest:
        raise AuthenticationError("digest received was wrong: it names no digest that is known here")
    if not same(code, authentication_code(authkey, message, digest)):
        raise AuthenticationError("digest received was wrong: the other side has another authkey")


def challenge(marked: bool) -> bytes:
    """Return what the other side has to answer: the digest's name and forty bytes."""
    nonce = os.urandom(_NONCE_BYTES - len(MARK)) + MARK if marked else os.urandom(_NONCE_BYTES)
    return b"{%s}" % _DIGEST.encode() + nonce


def deliver(authkey: bytes, message: bytes) -> Handshake:
    """Let the other side prove that it knows *authkey*, by an answer to the challenge *message*."""
    yield CHALLENGE + message
    yield from _verdict(authkey, message, (yield MESSAGE_LIMIT))
    return False


def _verdict(authkey: bytes, message: bytes, response: bytes) -> Handshake:
    try:
        verify_challenge(authkey, message, response)
    except AuthenticationError:
        try:
            yield FAILURE
        except OSError:  # whoever it was has not waited for the verdict
            pass
        raise
    yield WELCOME
    return False


def _respond(authkey: bytes, message: bytes) -> bytes:
    if not message.startswith(CHALLENGE):
        raise AuthenticationError(f"Protocol error, expected challenge: message={message!r}")
    return create_response(authkey, message[len(CHALLENGE) :])


def _judge(verdict: bytes) -> None:
    if verdict != WELCOME:
        raise AuthenticationError("digest sent was rejected: the other side has another authkey")


def answer(authkey: bytes) -> Handshake:
    """Prove to the other side that this one knows *authkey*."""
    message = yield MESSAGE_LIMIT
    yield _respond(authkey, message)
    # The client may go on at once after this, so not a byte more may be taken.
    _judge((yield len(WELCOME)))
    return message.endswith(MARK)


def accepting(authkey: bytes, message: bytes = b"") -> Handshake:
    """The listener's side of the handshake; *message* is its challenge, a new one by default."""
    yield from deliver(authkey, message or challenge(marked=True))
    return (yield from answer(authkey))


def accepted() -> Handshake:
    """The end of the listener's side: only the client's verdict has not come yet."""
    _judge((yield len(WELCOME)))
    return True


def connecting(authkey: bytes) -> Handshake:
    """The client's side of the handshake."""
    message = yield MESSAGE_LIMIT
    response = _respond(authkey, message)
    if not message.endswith(MARK):
        yield response
        _judge((yield len(WELCOME)))
        yield from deliver(authkey, challenge(marked=True))
        return False
    # This library reads both from one packet; six steps become four, and each costs a change of processes.
    yield response
    own = challenge(marked=True)
    yield CHALLENGE + own
    return (yield from connected(authkey, own))


def connected(authkey: bytes, own: bytes) -> Handshake:
    """The end of the client's side, when its answer and *own*, its challenge, are on their way."""
    _judge((yield MESSAGE_LIMIT))  # the answer comes with it, and nothing behind that
    yield from _verdict(authkey, own, (yield MESSAGE_LIMIT))
    return True


def drive(connection: Any, handshake: Handshake) -> bool:
    """Run *handshake* on a connection, blocking. Raises AuthenticationError, EOFError, OSError."""
    try:
        step = next(handshake)
        while True:
            if isinstance(step, int):
                step = handshake.send(connection.recv_bytes(MESSAGE_LIMIT))
            else:
                try:
                    connection.send_bytes(step)
                except OSError as error:
                    handshake.throw(error)
                    raise
                step = next(handshake)
    except StopIteration as stop:
        return bool(stop.value)


def _bytes_key(authkey: Any) -> bytes:
    try:
        return check_key(authkey)
    except TypeError:
        raise ValueError(f"Authkey must be bytes, not {type(authkey)}") from None


def deliver_challenge(connection: Any, authkey: bytes) -> None:
    """Send a random message over *connection* and wait for the other side's proof that it knows *authkey*.

    Blocks until it has come. Raises AuthenticationError if it is wrong, ValueError for a key that is not
    bytes, EOFError and OSError as the connection does.
    """
    drive(connection, deliver(_bytes_key(authkey), challenge(marked=False)))


def answer_challenge(connection: Any, authkey: bytes) -> None:
    """Wait for a challenge on *connection* and answer it with *authkey*.

    Blocks until the other side has judged. Raises AuthenticationError if it rejects the answer, ValueError
    for a key that is not bytes, EOFError and OSError as the connection does.
    """
    drive(connection, answer(_bytes_key(authkey)))
