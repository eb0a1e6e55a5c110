"""The handshake: digests, old and new peers, wrong keys."""

from __future__ import annotations

import hmac
import threading

import pytest

from procession_connection import (
    CHALLENGE,
    WELCOME,
    Pipe,
    answer_challenge,
    answerChallenge,
    create_response,
    deliver_challenge,
    verify_challenge,
)
from procession_connection._handshake import MARK, accepting, connecting
from procession_core import AuthenticationError

KEY = b"supadupasecretkey"


def both(deliver_key, answer_key):
    ours, theirs = Pipe()
    results = []

    def answering():
        try:
            results.append(answer_challenge(theirs, answer_key))
        except AuthenticationError as error:
            results.append(error)

    thread = threading.Thread(target=answering)
    thread.start()
    try:
        deliver_challenge(ours, deliver_key)
    except AuthenticationError as error:
        results.append(error)
    thread.join(30)
    ours.close()
    theirs.close()
    return results


def test_the_same_key_is_accepted():
    assert both(KEY, KEY) == [None]
    assert both(b"", b"") == [None]
    assert answerChallenge is answer_challenge


def test_different_keys_are_refused_on_both_sides():
    results = both(KEY, b"other")
    assert sorted(str(error) for error in results) == [
        "digest received was wrong: the other side has another authkey",
        "digest sent was rejected: the other side has another authkey",
    ]


@pytest.mark.parametrize("key", [None, 5, "\u00e9"])
def test_keys_that_are_no_bytes(key):
    for call in (deliver_challenge, answer_challenge):
        with pytest.raises(ValueError, match="Authkey must be bytes"):
            call(None, key)


@pytest.mark.parametrize("digest", [None, "md5", "sha256", "sha384", "sha3_256", "sha3_384"])
def test_responses(digest):
    prefix = b"{%s}" % digest.encode() if digest else b""
    message = prefix + b"is-twenty-bytes-long"
    response = create_response(KEY, message)
    assert response.startswith(prefix)
    assert response[len(prefix) :] == hmac.digest(KEY, message, digest or "md5")
    verify_challenge(KEY, message, response)
    with pytest.raises(AuthenticationError):
        verify_challenge(b"other", message, response)
    with pytest.raises(AuthenticationError):
        verify_challenge(KEY, message, response[:-1] + bytes([response[-1] ^ 1]))


@pytest.mark.parametrize(
    "message", [b"", b"short", b"{sha256}short", b"{sha1}is-twenty-bytes-long", b"x" * 30]
)
def test_challenges_that_are_not_answered(message):
    with pytest.raises(AuthenticationError):
        create_response(KEY, message)


@pytest.mark.parametrize(
    "response", [b"", b"{sha256}", b"{}", b"{sha1}" + b"x" * 20, b"x" * 15, b"{md5}" + b"x" * 15]
)
def test_responses_that_prove_nothing(response):
    with pytest.raises(AuthenticationError):
        verify_challenge(KEY, b"{sha256}" + b"r" * 40, response)


@pytest.mark.parametrize("nonce", [b"{md5}" + b"x" * 15, b"{" + b"x" * 19, b"{sha1}" + b"x" * 14])
def test_twenty_random_bytes_may_look_like_anything(nonce):
    assert create_response(KEY, nonce) == hmac.digest(KEY, nonce, "md5")


def converse(server, client):
    """Run two sides against each other and return what they return and all messages."""
    sides = [server, client]
    steps = [next(server), next(client)]
    posts = [[], []]  # the messages that each side has not read yet
    results = [None, None]
    log = []

    def go_on(me, *message):
        try:
            steps[me] = sides[me].send(*message) if message else next(sides[me])
        except StopIteration as stop:
            results[me] = stop.value
            steps[me] = None

    while None in results:
        for me in (0, 1):
            if isinstance(steps[me], bytes):
                log.append((me, steps[me]))
                posts[1 - me].append(steps[me])
                go_on(me)
                break
            if isinstance(steps[me], int) and posts[me]:
                go_on(me, posts[me].pop(0))
                break
        else:
            raise RuntimeError("both sides wait")
    assert posts == [[], []], "something was not read"
    return results, log


def test_both_sides_learn_that_the_other_runs_this_library():
    results, log = converse(accepting(KEY), connecting(KEY))
    assert results == [True, True]
    challenges = [message for _, message in log if message.startswith(CHALLENGE)]
    assert len(challenges) == 2 and all(message.endswith(MARK) for message in challenges)
    assert all(len(message) == len(CHALLENGE) + len("{sha256}") + 40 for message in challenges)
    assert [message for _, message in log].count(WELCOME) == 2
    assert len({message for _, message in log}) == len(log) - 1, "nonces repeat"


def test_a_mark_cannot_be_taken_away_on_the_way():
    server, client = accepting(KEY), connecting(KEY)
    challenge = next(server)
    next(client)
    next(server)
    response = client.send(challenge[: -len(MARK)] + b"0123456789abcdef")
    assert server.send(response) == b"#FAILURE#"
    with pytest.raises(AuthenticationError):
        next(server)


class Fake:
    def __init__(self, *messages):
        self.messages = list(messages)

    def recv_bytes(self, size):
        return self.messages.pop(0)

    def send_bytes(self, data):
        pass


def test_bogus_peers():
    with pytest.raises(AuthenticationError):
        deliver_challenge(Fake(b"something bogus"), b"abc")
    with pytest.raises(AuthenticationError):
        answer_challenge(Fake(CHALLENGE, b"something bogus", b""), b"abc")
    with pytest.raises(AuthenticationError):
        answer_challenge(Fake(b"no challenge"), b"abc")
