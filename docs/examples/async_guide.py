"""Queues, connections and pool tasks in an asyncio program; the loop never blocks."""

import asyncio
import time

import procession as mp


def work(tasks, answers):
    while (number := tasks.get()) is not None:
        answers.put(number * number)


def slow_square(number):
    time.sleep(0.1)
    return number * number


async def use_queues():
    tasks, answers = mp.Queue(), mp.Queue()
    child = mp.Process(target=work, args=(tasks, answers))
    child.start()
    for number in range(4):
        await tasks.aput(number)
    await tasks.aput(None)
    print([await answers.aget() for _ in range(4)])
    await asyncio.to_thread(child.join)


async def use_pool():
    with mp.Pool(2) as pool:
        futures = [asyncio.wrap_future(pool.apply_async(slow_square, (n,)).future()) for n in range(4)]
        print(await asyncio.gather(*futures))
        print([square async for square in pool.imap(slow_square, range(4))])


async def use_executor():
    loop = asyncio.get_running_loop()
    with mp.Pool(2) as pool:
        print(await loop.run_in_executor(pool.executor(), slow_square, 5))


async def main():
    await use_queues()
    await use_pool()
    await use_executor()


if __name__ == "__main__":
    asyncio.run(main())
