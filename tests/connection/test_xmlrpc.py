"""Connections that carry XML-RPC."""

from __future__ import annotations

import threading

import pytest

from procession_connection import XmlClient, XmlListener


@pytest.mark.parametrize("key", [None, b"key"])
def test_values(key):
    values = [1, "text \u00e9", b"bytes", [1, {"a": None}], 2.5, True]
    with XmlListener(authkey=key) as listener:

        def echo():
            with XmlClient(listener.address, authkey=key) as client:
                for _ in values:
                    client.send(client.recv())

        thread = threading.Thread(target=echo)
        thread.start()
        with listener.accept() as accepted:
            for value in values:
                accepted.send(value)
                assert accepted.poll(30)
                assert accepted.recv() == value
            with pytest.raises(TypeError):
                accepted.send(object())
            with pytest.raises(AttributeError):
                accepted.nonsense
        thread.join()
        assert accepted.closed
