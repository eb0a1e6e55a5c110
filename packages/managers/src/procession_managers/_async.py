"""Calls that do not block an asyncio loop. Each task has a connection of its own, as each thread has."""

from __future__ import annotations

from procession_connection._async import receive_frame, send_frame

from ._channel import Channel
from ._link import Link
from ._protocol import RENEW, RETURN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_SPARE = 16


class _TaskChannels:
    """The channels of one link that tasks use."""

    def __init__(self, link: Link) -> None:
        from weakref import WeakKeyDictionary

        self._link = link
        self._of_task: Any = WeakKeyDictionary()
        self._spare: list[Channel] = []

    async def get(self) -> Channel:
        """Return the channel of the running task."""
        from asyncio import current_task, get_running_loop

        task: Any = current_task()
        channel: Channel | None = self._of_task.get(task)
        if channel is not None and channel.usable:
            return channel
        while self._spare:
            channel = self._spare.pop()
            if channel.usable and channel.note(RENEW):
                break
        else:
            channel = await get_running_loop().run_in_executor(None, self._link.connect)
        self._of_task[task] = channel
        task.add_done_callback(lambda _: self._give_back(channel))
        return channel

    def _give_back(self, channel: Channel) -> None:
        if channel.usable:
            if len(self._spare) < _MOST_SPARE:
                self._spare.append(channel)
            else:
                channel.close()


async def call_async(proxy: Any, name: str, args: tuple[Any, ...], kwds: dict[str, Any]) -> Any:
    """Call a method through *proxy* without blocking the running loop."""
    link = proxy._link
    if not isinstance(link, Link):  # in the server's own process
        from asyncio import to_thread

        return await to_thread(proxy._callmethod, name, args, kwds)
    channels = link.tasks
    if channels is None:
        channels = link.tasks = _TaskChannels(link)
    channel = await channels.get()
    data = channel.encode(proxy._id, name, args, kwds)
    try:
        await send_frame(channel.connection, data, [])
        data, _ = await receive_frame(channel.connection)
    except (EOFError, OSError) as error:
        channel.close()
        raise link.lost(error) from error
    except BaseException:
        channel.close()  # the server gives up what waits there
        raise
    kind, value = channel.decode(data)
    return value if kind == RETURN else proxy._other_answer(kind, value)
