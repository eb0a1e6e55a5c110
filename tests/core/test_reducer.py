from __future__ import annotations

import copyreg
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest

from procession_core import ForkingPickler, Reducer, default_reducer


class Point:
    def __init__(self, x):
        self.x = x


class Registered:
    pass


class Late:
    pass


class Nested:
    def __reduce__(self):
        return bytes, (default_reducer.dumps([1, 2]),)


class Sharing:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return bytearray, (pickle.PickleBuffer(self.data),)


def rebuilt():
    return "rebuilt"


def test_round_trip_and_reuse():
    reducer = Reducer()
    shared = [1]
    for _ in range(3):
        loaded = reducer.loads(reducer.dumps((shared, shared, Point(2))))
        assert loaded[0] is loaded[1]
        assert loaded[2].x == 2


def test_own_table_is_not_copyregs():
    reducer = Reducer()
    reducer.register(Registered, lambda obj: (rebuilt, ()))
    assert reducer.loads(reducer.dumps(Registered())) == "rebuilt"
    assert Registered not in copyreg.dispatch_table
    assert isinstance(pickle.loads(pickle.dumps(Registered())), Registered)


def test_later_registrations_count():
    reducer = Reducer()
    reducer.dumps(Late())
    copyreg.pickle(Late, lambda obj: (rebuilt, ()))
    try:
        assert reducer.loads(reducer.dumps(Late())) == "rebuilt"
    finally:
        del copyreg.dispatch_table[Late]
    assert isinstance(reducer.loads(reducer.dumps(Late())), Late)


def test_re_entry():
    assert pickle.loads(default_reducer.loads(default_reducer.dumps([Nested()]))[0]) == [1, 2]


def test_large_messages_and_after_failures():
    reducer = Reducer()
    big = b"x" * (3 << 20)
    assert reducer.loads(reducer.dumps([big, big])) == [big, big]
    with pytest.raises(TypeError):
        reducer.dumps([big, threading.Lock()])
    assert reducer.loads(reducer.dumps([1])) == [1]


def test_out_of_band_buffers():
    reducer = Reducer()
    buffers = []
    small, large = Sharing(b"s" * 10), Sharing(b"l" * 5000)
    data = reducer.dumps_oob([small, large], 4096, buffers)
    assert [bytes(b) for b in buffers] == [b"l" * 5000]
    assert reducer.loads(data, buffers) == [b"s" * 10, b"l" * 5000]
    buffers = []
    with pytest.raises(TypeError):
        reducer.dumps_oob([large, threading.Lock()], 4096, buffers)
    assert buffers == []


def test_failure_names_the_culprit():
    point = Point({"deep": [1, threading.Lock()]})
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        default_reducer.dumps({"jobs": [point]})
    # Python 3.14 and later add notes of their own before ours.
    ours = "obj['jobs'][0].x['deep'][1]: cannot pickle '_thread.lock'"
    assert any(note.startswith(ours) for note in caught.value.__notes__)


def test_without_cloudpickle_the_note_says_what_to_install():
    program = textwrap.dedent("""
        import sys
        sys.modules["cloudpickle"] = None
        from procession_core import default_reducer
        try:
            default_reducer.dumps([lambda: 1])
        except Exception as error:
            print(*error.__notes__)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "procession-process[cloudpickle]" in done.stdout, done.stderr


def test_lambda_goes_by_value_with_cloudpickle():
    pytest.importorskip("cloudpickle")
    base = 3
    function = default_reducer.loads(default_reducer.dumps([lambda x: x + base]))[0]
    assert function(4) == 7


def test_by_value_uses_the_table_too():
    pytest.importorskip("cloudpickle")
    default_reducer.register(Registered, lambda obj: (rebuilt, ()))
    try:
        found = default_reducer.loads(default_reducer.dumps([lambda: 1, Registered()]))
    finally:
        del default_reducer.own[Registered]
    assert found[0]() == 1
    assert found[1] == "rebuilt"


def test_threads_do_not_mix():
    errors = []

    def work(number):
        for _ in range(300):
            if default_reducer.loads(default_reducer.dumps([number] * 20)) != [number] * 20:
                errors.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert errors == []


def test_forking_pickler_feeds_the_reducer():
    ForkingPickler.register(Registered, lambda obj: (rebuilt, ()))
    try:
        assert ForkingPickler.loads(ForkingPickler.dumps(Registered())) == "rebuilt"
        assert default_reducer.loads(default_reducer.dumps(Registered())) == "rebuilt"
    finally:
        del default_reducer.own[Registered]
