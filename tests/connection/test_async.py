"""Awaiting messages and clients."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from procession_connection import Client, Listener, Pipe
from tests.connection.test_connection import MAKERS


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def ends(request):
    writer, reader = request.param()
    yield writer, reader
    writer.close()
    reader.close()


@pytest.mark.parametrize("size", [0, 10, 16384, 16385, 65536, 65537, 1_000_000])
def test_messages(ends, size):
    writer, reader = ends
    data = os.urandom(size)

    async def main():
        for _ in range(3):
            receiving = asyncio.create_task(reader.async_recv())
            await asyncio.sleep(0)
            await writer.async_send(data)
            assert await receiving == data
        before = threading.active_count()
        sending = asyncio.create_task(writer.async_send(data))
        assert await reader.async_recv() == data
        await sending
        assert threading.active_count() == before

    asyncio.run(main())


def test_mixed_with_blocking_calls(ends):
    writer, reader = ends
    big = os.urandom(1_000_000)

    async def main():
        thread = threading.Thread(target=writer.send, args=(big,))
        thread.start()
        assert await reader.async_recv() == big
        thread.join()
        receiver = asyncio.get_running_loop().run_in_executor(None, reader.recv)
        await writer.async_send(big)
        assert await receiver == big

    asyncio.run(main())


def test_the_loop_goes_on_while_a_message_is_slow():
    reader, writer = Pipe(duplex=False)

    async def main():
        task = asyncio.create_task(reader.async_recv())
        os.write(writer.fileno(), b"\0\0")
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reader.closed

    asyncio.run(main())
    writer.close()


def test_cancelled_between_messages_takes_nothing():
    reader, writer = Pipe()

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.async_recv(), 0.01)
        writer.send(1)
        assert await reader.async_recv() == 1

    asyncio.run(main())
    reader.close()
    writer.close()


def test_descriptors():
    a, b = Pipe()
    reader, writer = Pipe(duplex=False)

    async def main():
        await a.async_send(writer)
        got = await b.async_recv()
        await got.async_send("hello")
        assert await reader.async_recv() == "hello"
        got.close()

    asyncio.run(main())
    for closing in (a, b, reader, writer):
        closing.close()


def test_end_of_stream():
    reader, writer = Pipe()
    writer.close()

    async def main():
        with pytest.raises(EOFError):
            await reader.async_recv()

    asyncio.run(main())
    with pytest.raises(OSError, match="handle is closed"):
        asyncio.run(writer.async_send(1))
    reader.close()


@pytest.mark.parametrize("key", [None, b"key"])
def test_accept(key):
    def talk(address):
        with Client(address, authkey=key) as client:
            client.send(1)
            return client.recv()

    async def main():
        with Listener(authkey=key, backlog=16) as listener:
            loop = asyncio.get_running_loop()
            clients = [loop.run_in_executor(None, talk, listener.address) for _ in range(4)]
            for _ in clients:
                with await listener.async_accept() as accepted:
                    assert await accepted.async_recv() == 1
                    await accepted.async_send(2)
            assert await asyncio.gather(*clients) == [2] * 4

    asyncio.run(main())
