"""Misuse, one call after the other; started by test_misuse.py as a program, with the standard library and with ours.

Arguments: the start method and the file for the results, {name: [error's class, its text, names of its bases]}.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing as mp
import multiprocessing.connection as cn
import multiprocessing.context as cx
import multiprocessing.managers as mg
import multiprocessing.pool as pl
import multiprocessing.reduction
import multiprocessing.shared_memory as sm
import multiprocessing.sharedctypes as sc
import os
import pickle
import signal
import sys
import threading

from misuse_states import (
    Unpicklable,
    aborted,
    afterclose,
    afterclose_attr,
    bad_init,
    badgen,
    boom,
    broken,
    closed,
    closed_conn,
    closedlistener,
    closedq,
    closedsq,
    closerunning,
    closeview,
    condheld,
    ctx,
    donetwice,
    eof,
    finished,
    full,
    full_proxy,
    getserver,
    ident,
    in_child,
    in_other_thread,
    inuse,
    noop,
    pair,
    ret_lambda,
    sleep,
    startafter,
    startargs,
    startlambda,
    starttwice,
    twice,
    withbytes,
    wrongkey,
)

sys.modules["cloudpickle"] = None  # ours would send what the standard library refuses
CASES = {}


def many(kind, calls):
    CASES.update({f"{kind}: {name}": call for name, call in calls.items()})


def fill():
    method = ctx.get_start_method()
    P = ctx.Process
    many(
        "Process",
        {
            "group": lambda: P(1),
            "group kw": lambda: P(group="x"),
            "positional daemon": lambda: P(None, noop, "n", (), {}, True),
            "unknown kw": lambda: P(foo=1),
            "join before start": lambda: P(target=noop).join(),
            "sentinel before": lambda: P(target=noop).sentinel,
            "start twice": lambda: finished().start(),
            "close running": lambda: closerunning(),
            "after close join": lambda: afterclose("join"),
            "after close is_alive": lambda: afterclose("is_alive"),
            "after close start": lambda: afterclose("start"),
            "after close terminate": lambda: afterclose("terminate"),
            "after close exitcode": lambda: afterclose_attr("exitcode"),
            "after close pid": lambda: afterclose_attr("pid"),
            "after close ident": lambda: afterclose_attr("ident"),
            "after close sentinel": lambda: afterclose_attr("sentinel"),
            "name int": lambda: setattr(P(), "name", 3),
            "name None": lambda: setattr(P(), "name", None),
            "daemon after start": lambda: setattr(finished(), "daemon", True),
            "authkey str": lambda: setattr(P(), "authkey", "abc"),
            "args not iterable": lambda: P(target=noop, args=3),
            "kwargs not mapping": lambda: P(target=noop, kwargs=3),
            "args None": lambda: P(target=noop, args=None),
            "pickle process": lambda: pickle.dumps(P()),
            "pickle authkey": lambda: pickle.dumps(mp.current_process().authkey),
            "current join": lambda: mp.current_process().join(),
            "current start": lambda: mp.current_process().start(),
            "current sentinel": lambda: mp.current_process().sentinel,
            "start lambda": lambda: startlambda(),
            "start unpicklable arg": lambda: startargs(threading.Lock()),
            "start weird arg": lambda: startargs(Unpicklable()),
            "start conn closed": lambda: startargs(closed_conn()),
            "after close kill": lambda: afterclose("kill"),
            "after close daemon": lambda: setattr(closed(), "daemon", True),
            "close twice": lambda: closed().close(),
            "name after start": lambda: setattr(finished(), "name", 3),
            "authkey int": lambda: setattr(P(), "authkey", "x"),
            "join str": lambda: finished().join("x"),
            "start in daemon": lambda: in_child("start", daemon=True),
            "current daemon": lambda: setattr(mp.current_process(), "daemon", True),
            "current close": lambda: mp.current_process().close(),
            "current exitcode": lambda: mp.current_process().exitcode,
            "parent's in child: start": lambda: in_child("start", P(target=noop)),
            "parent's in child: join": lambda: in_child("join", finished()),
            "parent's in child: is_alive": lambda: in_child("is_alive", finished()),
            "parent's in child: exitcode": lambda: in_child("exitcode", finished()),
            "parent's in child: pid": lambda: in_child("pid", finished()),
            "parent's in child: sentinel": lambda: in_child("sentinel", P()),
            "parent's in child: close": lambda: in_child("close", finished()),
            "active_children arg": lambda: mp.active_children(1),
            "parent_process of main": lambda: mp.parent_process().pid,
            "interrupt missing": lambda: P().stop(),
        },
    )
    many(
        "context",
        {
            "get_context bad": lambda: mp.get_context("bad"),
            "get_context int": lambda: mp.get_context(3),
            "ctx.get_context bad": lambda: ctx.get_context("bad"),
            "set_start_method twice": lambda: mp.set_start_method(method),
            "set_start_method bad": lambda: mp.set_start_method("bad", force=True),
            "set_start_method bad2": lambda: mp.set_start_method("bad"),
            "ctx.set_start_method": lambda: ctx.set_start_method("spawn"),
            "ctx.set_start_method None": lambda: ctx.set_start_method(None),
            "preload ints": lambda: ctx.set_forkserver_preload([1]),
            "preload int": lambda: ctx.set_forkserver_preload(1),
            "assert_spawning": lambda: cx.assert_spawning(object()),
        },
    )
    for cls in ("Lock", "RLock"):
        C = getattr(ctx, cls)
        many(
            cls,
            {
                "arg": lambda C=C: C(1),
                "release unheld": lambda C=C: C().release(),
                "acquire 3 args": lambda C=C: C().acquire(1, 2, 3),
                "exit unheld": lambda C=C: C().__exit__(None, None, None),
            },
        )
    many("RLock", {"release by other": lambda: in_other_thread(ctx.RLock())})
    for cls in ("Semaphore", "BoundedSemaphore"):
        C = getattr(ctx, cls)
        many(
            cls,
            {
                "float": lambda C=C: C(1.5),
                "two args": lambda C=C: C(1, 2),
            },
        )
    many(
        "Condition",
        {
            "wait unheld": lambda: ctx.Condition().wait(0.01),
            "notify unheld": lambda: ctx.Condition().notify(),
            "notify_all unheld": lambda: ctx.Condition().notify_all(),
            "wait_for unheld": lambda: ctx.Condition().wait_for(lambda: False, 0.01),
            "release unheld": lambda: ctx.Condition().release(),
            "wait_for notcallable": lambda: condheld(lambda c: c.wait_for(3, 1)),
        },
    )
    many(
        "Event",
        {
            "arg": lambda: ctx.Event(1),
        },
    )
    many(
        "Barrier",
        {
            "no arg": lambda: ctx.Barrier(),
            "timeout": lambda: ctx.Barrier(2).wait(0.01),
            "default timeout": lambda: ctx.Barrier(2, timeout=0.01).wait(),
            "aborted": lambda: aborted(ctx.Barrier(2)),
            "action raises": lambda: ctx.Barrier(1, action=lambda: 1 / 0).wait(),
        },
    )
    many(
        "Queue",
        {
            "float": lambda: ctx.Queue(1.5),
            "get empty nowait": lambda: ctx.Queue().get_nowait(),
            "get empty timeout": lambda: ctx.Queue().get(True, 0.01),
            "get neg timeout": lambda: ctx.Queue().get(True, -1),
            "get nonblock": lambda: ctx.Queue().get(False),
            "put full": lambda: full().put_nowait(2),
            "put full timeout": lambda: full().put(2, True, 0.01),
            "put full neg": lambda: full().put(2, True, -1),
            "put closed": lambda: closedq().put(1),
            "get closed": lambda: closedq().get(),
            "put_nowait closed": lambda: closedq().put_nowait(1),
            "get_nowait closed": lambda: closedq().get_nowait(),
            "join_thread open": lambda: ctx.Queue().join_thread(),
            "task_done plain": lambda: ctx.Queue().task_done(),
            "shutdown": lambda: ctx.Queue().nothing(),
        },
    )
    many(
        "JoinableQueue",
        {
            "task_done early": lambda: ctx.JoinableQueue().task_done(),
            "task_done twice": lambda: donetwice(),
        },
    )
    many(
        "SimpleQueue",
        {
            "arg": lambda: ctx.SimpleQueue(3),
            "put closed": lambda: closedsq().put(1),
            "get closed": lambda: closedsq().get(),
            "empty closed": lambda: closedsq().empty(),
            "put unpicklable": lambda: ctx.SimpleQueue().put(threading.Lock()),
            "put lambda": lambda: ctx.SimpleQueue().put(lambda: 0),
        },
    )
    many(
        "Value",
        {
            "no arg": lambda: ctx.Value(),
            "bad code": lambda: ctx.Value("?x"),
            "bad code 1": lambda: ctx.Value("z"),
            "bad code none": lambda: ctx.Value(None),
            "bad code int": lambda: ctx.Value(3),
            "bad value": lambda: ctx.Value("i", "x"),
            "bad lock": lambda: ctx.Value("i", 0, lock=3),
            "two values": lambda: ctx.Value("i", 1, 2),
            "lock positional": lambda: ctx.Value("i", 0, False),
            "set bad": lambda: setattr(ctx.Value("i"), "value", "x"),
            "set missing": lambda: ctx.Value("i").nothing,
            "raw bad": lambda: ctx.RawValue("z"),
            "raw bad value": lambda: ctx.RawValue("i", "x"),
            "raw class": lambda: ctx.RawValue(int),
            "py_object": lambda: ctx.RawValue(ctypes.py_object).value,
            "synchronized str": lambda: sc.synchronized("x"),
            "synchronized twice": lambda: sc.synchronized(ctx.Value("i")),
            "copy str": lambda: sc.copy("x"),
        },
    )
    many(
        "Array",
        {
            "no arg": lambda: ctx.Array("i"),
            "bad code": lambda: ctx.Array("z", 3),
            "neg": lambda: ctx.Array("i", -1),
            "float": lambda: ctx.Array("i", 1.5),
            "bad items": lambda: ctx.Array("i", ["x"]),
            "str for c": lambda: ctx.Array("c", "abc"),
            "bad lock": lambda: ctx.Array("i", 3, lock=3),
            "index": lambda: ctx.Array("i", 3)[3],
            "index str": lambda: ctx.Array("i", 3)["x"],
            "set index": lambda: ctx.Array("i", 3).__setitem__(3, 1),
            "set bad": lambda: ctx.Array("i", 3).__setitem__(0, "x"),
            "slice size": lambda: ctx.Array("i", 3).__setitem__(slice(0, 2), [1]),
            "gen": lambda: ctx.Array("i", (i for i in range(3))),
            "set raw": lambda: setattr(ctx.Array("c", 3), "raw", b"abcd"),
            "value": lambda: ctx.Array("i", 3).value,
            "raw neg": lambda: ctx.RawArray("i", -1),
            "raw bad": lambda: ctx.RawArray("z", 3),
            "lock positional": lambda: ctx.Array("i", 3, False),
        },
    )
    many(
        "Pipe",
        {
            "poll closed": lambda: closed_conn().poll(),
            "send closed": lambda: closed_conn().send(1),
            "recv closed": lambda: closed_conn().recv(),
            "fileno closed": lambda: closed_conn().fileno(),
            "send readonly": lambda: ctx.Pipe(duplex=False)[0].send(1),
            "recv writeonly": lambda: ctx.Pipe(duplex=False)[1].recv(),
            "poll writeonly": lambda: ctx.Pipe(duplex=False)[1].poll(),
            "send_bytes readonly": lambda: ctx.Pipe(duplex=False)[0].send_bytes(b"x"),
            "recv_bytes writeonly": lambda: ctx.Pipe(duplex=False)[1].recv_bytes(),
            "recv_bytes_into writeonly": lambda: ctx.Pipe(duplex=False)[1].recv_bytes_into(bytearray(3)),
            "send_bytes str": lambda: pair()[0].send_bytes("x"),
            "send_bytes int": lambda: pair()[0].send_bytes(3),
            "send_bytes neg off": lambda: pair()[0].send_bytes(b"abc", -1),
            "send_bytes big off": lambda: pair()[0].send_bytes(b"abc", 4),
            "send_bytes neg size": lambda: pair()[0].send_bytes(b"abc", 0, -1),
            "send_bytes big size": lambda: pair()[0].send_bytes(b"abc", 1, 3),
            "send_bytes size str": lambda: pair()[0].send_bytes(b"abc", "x"),
            "recv_bytes neg max": lambda: withbytes(b"abc").recv_bytes(-1),
            "recv_bytes too long": lambda: withbytes(b"abc").recv_bytes(2),
            "recv_bytes_into short": lambda: withbytes(b"abc").recv_bytes_into(bytearray(2)),
            "recv_bytes_into neg": lambda: withbytes(b"abc").recv_bytes_into(bytearray(2), -1),
            "recv_bytes_into off": lambda: withbytes(b"abc").recv_bytes_into(bytearray(2), 3),
            "recv_bytes_into str": lambda: withbytes(b"abc").recv_bytes_into("abcd"),
            "recv garbage": lambda: withbytes(b"abc").recv(),
            "recv empty": lambda: withbytes(b"").recv(),
            "recv eof": lambda: eof().recv(),
            "recv_bytes eof": lambda: eof().recv_bytes(),
            "recv_bytes_into eof": lambda: eof().recv_bytes_into(bytearray(3)),
            "send broken": lambda: broken().send(1),
            "send_bytes broken": lambda: broken().send_bytes(b"1"),
            "send lambda": lambda: pair()[0].send(lambda: 0),
            "send lock": lambda: pair()[0].send(threading.Lock()),
            "conn bad handle": lambda: cn.Connection(-1),
            "conn str handle": lambda: cn.Connection("x"),
            "conn neither": lambda: cn.Connection(0, readable=False, writable=False),
            "pipe arg": lambda: ctx.Pipe(1, 2),
            "attr ro": lambda: setattr(pair()[0], "closed", True),
        },
    )
    many(
        "wait",
        {
            "str": lambda: cn.wait("x", 0.01),
            "int": lambda: cn.wait([3.5], 0.01),
            "not iterable": lambda: cn.wait(3, 0.01),
            "closed": lambda: cn.wait([closed_conn()], 0.01),
            "neg fd": lambda: cn.wait([-1], 0.01),
        },
    )
    many(
        "Listener",
        {
            "bad family": lambda: cn.Listener(family="AF_X"),
            "pipe family": lambda: cn.Listener(family="AF_PIPE"),
            "address type": lambda: cn.Listener(3),
            "address list": lambda: cn.Listener([1]),
            "authkey int": lambda: cn.Listener(authkey=3),
            "address in use": lambda: inuse(),
            "no dir": lambda: cn.Listener("/nonexistent/dir/sock"),
            "bad port": lambda: cn.Listener(("localhost", 99999)),
            "bad host": lambda: cn.Listener(("999.1.1.1", 0)),
            "accept closed": lambda: closedlistener().accept(),
            "backlog str": lambda: cn.Listener(backlog="x"),
            "long path": lambda: cn.Listener("/tmp/" + "x" * 200),
            "client refused": lambda: cn.Client(("localhost", 1)),
            "client no path": lambda: cn.Client("/nonexistent/sock"),
            "client bad type": lambda: cn.Client(3),
            "client authkey str": lambda: cn.Client(("localhost", 1), authkey="x"),
            "client pipe": lambda: cn.Client(r"\\.\pipe\x"),
            "client wrong key": lambda: wrongkey(b"a", b"b", 0),
            "listener wrong key": lambda: wrongkey(b"a", b"b", 1),
            "listener no key client": lambda: wrongkey(None, b"b", 0),
        },
    )
    many(
        "Pool",
        {
            "zero": lambda: ctx.Pool(0),
            "neg": lambda: ctx.Pool(-1),
            "init not callable": lambda: ctx.Pool(1, 3),
            "maxtasks 0": lambda: ctx.Pool(1, maxtasksperchild=0),
            "maxtasks neg": lambda: ctx.Pool(1, maxtasksperchild=-1),
            "maxtasks str": lambda: ctx.Pool(1, maxtasksperchild="x"),
            "unknown kw": lambda: ctx.Pool(1, foo=3),
        },
    )
    pool = ctx.Pool(1)
    many(
        "Pool op",
        {
            "apply raises": lambda: pool.apply(boom, ("k",)),
            "apply wrong args": lambda: pool.apply(ident, (1, 2)),
            "map raises": lambda: pool.map(boom, [1]),
            "map not iterable": lambda: pool.map(ident, 3),
            "map_async not iterable": lambda: pool.map_async(ident, 3),
            "imap chunksize 0": lambda: pool.imap(ident, [1], 0),
            "imap chunksize neg": lambda: pool.imap(ident, [1], -1),
            "imap_unordered chunksize 0": lambda: pool.imap_unordered(ident, [1], 0),
            "imap not iterable": lambda: list(pool.imap(ident, 3)),
            "imap raises": lambda: list(pool.imap(boom, [1])),
            "imap bad gen": lambda: list(pool.imap(ident, badgen())),
            "map bad gen": lambda: list(pool.map(ident, badgen())),
            "imap timeout": lambda: pool.imap(sleep, [0.3]).next(0.01),
            "imap end": lambda: next(iter(pool.imap(ident, []))),
            "func lambda": lambda: pool.apply(lambda: 0),
            "map func lambda": lambda: pool.map(lambda x: 0, [1]),
            "arg lock": lambda: pool.apply(ident, (threading.Lock(),)),
            "result lambda": lambda: pool.apply(ret_lambda),
            "func None": lambda: pool.apply(None),
            "func int": lambda: pool.apply(3),
            "successful early": lambda: pool.apply_async(sleep, (0.2,)).successful(),
            "get timeout": lambda: pool.apply_async(sleep, (0.2,)).get(0.01),
            "get neg": lambda: pool.apply_async(sleep, (0.2,)).get(-1),
            "pickle": lambda: pickle.dumps(pool),
            "join open": lambda: pool.join(),
            "bad arg": lambda: pool.apply_async(ident, (1,), foo=3),
            "close": lambda: pool.close(),
            "apply closed": lambda: pool.apply(ident, (1,)),
            "map closed": lambda: pool.map(ident, (1,)),
            "imap closed": lambda: pool.imap(ident, (1,)),
            "imap_unordered closed": lambda: pool.imap_unordered(ident, (1,)),
            "starmap closed": lambda: pool.starmap(ident, (1,)),
            "enter closed": lambda: pool.__enter__(),
            "terminate": lambda: pool.terminate(),
            "apply terminated": lambda: pool.apply(ident, (1,)),
            "threadpool 0": lambda: pl.ThreadPool(0),
            "threadpool neg": lambda: pl.ThreadPool(-1),
            "threadpool init": lambda: pl.ThreadPool(1, 3),
        },
    )
    S = sm.SharedMemory
    many(
        "SharedMemory",
        {
            "no args": lambda: S(),
            "size 0": lambda: S(create=True, size=0),
            "neg": lambda: S(create=True, size=-1),
            "attach neg": lambda: S(name="x", size=-1),
            "str size": lambda: S(create=True, size="x"),
            "float size": lambda: S(create=True, size=1.5),
            "missing": lambda: S(name="procession_nothing_here"),
            "exists": lambda: twice("procession_twice_x"),
            "name int": lambda: S(name=3),
            "name empty": lambda: S(name=""),
            "name slash": lambda: S(name="a/b", create=True, size=10),
            "close with view": lambda: closeview(),
            "list bad type": lambda: sm.ShareableList([[1]]),
            "list bad object": lambda: sm.ShareableList([object()]),
            "list int": lambda: sm.ShareableList(3),
            "list missing": lambda: sm.ShareableList(name="procession_nothing_here"),
        },
    )
    items = sm.ShareableList([1, "abc", b"xy", None, 1.5])
    many(
        "ShareableList",
        {
            "index": lambda: items[9],
            "set index": lambda: items.__setitem__(9, 1),
            "set long": lambda: items.__setitem__(1, "x" * 100),
            "set long bytes": lambda: items.__setitem__(2, b"x" * 100),
            "set list": lambda: items.__setitem__(1, [1]),
            "index value": lambda: items.index(99),
            "append": lambda: items.append(3),
            "zz": lambda: (items.shm.close(), items.shm.unlink())[0],
        },
    )
    many(
        "Manager",
        {
            "connect refused": lambda: mg.BaseManager(("localhost", 1), b"x").connect(),
            "not started": lambda: mg.SyncManager().dict(),
            "base attr": lambda: mg.BaseManager().dict(),
            "shutdown not started": lambda: mg.SyncManager().shutdown(),
            "start twice": lambda: starttwice(),
            "start after shutdown": lambda: startafter(),
            "start bad init": lambda: mg.SyncManager().start(3),
            "start init raises": lambda: mg.SyncManager(ctx=ctx).start(bad_init),
            "get_server started": lambda: getserver(),
            "register nothing": lambda: mg.BaseManager.register(),
            "shutdown_timeout": lambda: mg.BaseManager(None, None, "pickle", None, 3),
            "Namespace": lambda: mg.Namespace(a=1).b,
        },
    )
    m = ctx.Manager()
    many(
        "Proxy",
        {
            "dict key": lambda: m.dict()["x"],
            "list index": lambda: m.list()[3],
            "list remove": lambda: m.list().remove(3),
            "ns attr": lambda: m.Namespace().x,
            "queue empty": lambda: m.Queue().get_nowait(),
            "queue full": lambda: full_proxy(m).put_nowait(2),
            "jq task_done": lambda: m.JoinableQueue().task_done(),
            "lock release": lambda: m.Lock().release(),
            "rlock release": lambda: m.RLock().release(),
            "bsem release": lambda: m.BoundedSemaphore(1).release(),
            "cond wait": lambda: m.Condition().wait(0.1),
            "cond notify": lambda: m.Condition().notify(),
            "barrier broken": lambda: m.Barrier(2).wait(0.01),
            "value": lambda: m.Value("i", 3).get(1, 2),
            "array index": lambda: m.Array("i", [1])[3],
            "private": lambda: m.list()._nothing,
            "missing method": lambda: m.list().nothing,
            "manager attr": lambda: m.nothing,
            "unpicklable": lambda: m.list().append(threading.Lock()),
            "unpicklable lambda": lambda: m.list().append(lambda: 0),
            "dict unhashable": lambda: m.dict().__setitem__([], 1),
            "len": lambda: len(m.Namespace()),
            "list pop": lambda: m.list().pop(),
            "list add": lambda: m.list() + 3,
            "list mul": lambda: m.list() * "x",
            "dict pop": lambda: m.dict().pop(3),
            "dict popitem": lambda: m.dict().popitem(),
            "list insert": lambda: m.list().insert("x", 1),
            "list sort": lambda: m.list([1, "x"]).sort(),
            "dict update": lambda: m.dict().update(3),
            "zz shutdown": lambda: m.shutdown(),
            "zz start again": lambda: m.start(),
        },
    )
    many(
        "reduction",
        {
            "forkingpickler lambda": lambda: mp.reduction.ForkingPickler.dumps(lambda: 0),
            "log level": lambda: mp.log_to_stderr("nolevel"),
        },
    )


class Late(Exception):
    """The call did not come back."""


def late(*_):
    raise Late


def judge(call):
    signal.alarm(20)
    try:
        call()
    except BaseException as error:
        return [type(error).__name__, str(error), [cls.__name__ for cls in type(error).__mro__]]
    else:
        return ["", "", []]
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    signal.signal(signal.SIGALRM, late)
    fill()
    results = {name: judge(call) for name, call in CASES.items()}
    with open(sys.argv[2], "w") as file:
        json.dump(results, file)
    os._exit(0)
