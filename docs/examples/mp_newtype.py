"""A customised manager: classes, a generator and a module as shared objects."""

from __future__ import annotations

import operator

from procession import freeze_support
from procession.managers import BaseManager, BaseProxy


class Foo:
    """Its methods print in the manager's process."""

    def f(self):
        print("you called Foo.f()", flush=True)

    def g(self):
        print("you called Foo.g()", flush=True)

    def _h(self):
        print("you called Foo._h()", flush=True)


def squares():
    """Generate the squares of the first ten numbers."""
    for number in range(10):
        yield number * number


class GeneratorProxy(BaseProxy):
    """A proxy that can be iterated over."""

    _exposed_ = ("__next__",)

    def __iter__(self):
        return self

    def __next__(self):
        return self._callmethod("__next__")


def get_operator_module():
    """Return the module that is to be shared."""
    return operator


class MyManager(BaseManager):
    """Knows the four types below."""


MyManager.register("Foo1", Foo)
MyManager.register("Foo2", Foo, exposed=("g", "_h"))
MyManager.register("squares", squares, proxytype=GeneratorProxy)
MyManager.register("operator", get_operator_module)


def line():
    """Separate the parts of the output."""
    print("-" * 20, flush=True)


def main():
    """Use all of them."""
    manager = MyManager()
    manager.start()

    line()
    f1 = manager.Foo1()
    f1.f()
    f1.g()
    assert not hasattr(f1, "_h")
    assert sorted(f1._exposed_) == ["f", "g"]

    line()
    f2 = manager.Foo2()
    f2.g()
    f2._h()
    assert not hasattr(f2, "f")
    assert sorted(f2._exposed_) == ["_h", "g"]

    line()
    print(*(f"<{square}>" for square in manager.squares()), flush=True)

    line()
    op = manager.operator()
    print("op.add(23, 45) =", op.add(23, 45))
    print("op.pow(2, 94) =", op.pow(2, 94))
    print("op._exposed_ =", op._exposed_, flush=True)
    manager.shutdown()


if __name__ == "__main__":
    freeze_support()
    main()
