"""The words of the protocol between proxies and servers. docs/internals/manager-server.md.

A request is ``(ident, method name, args, kwds)``, an answer ``(kind, value)``. The kinds below are CPython's,
except ``ERROR_TRACED``, which only peers that run this library get to see. Between those there are also
one-way notes: frames that begin with ``NOTE``, which no pickle and no XML does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

RETURN = "#RETURN"
PROXY = "#PROXY"
ERROR = "#ERROR"
TRACEBACK = "#TRACEBACK"
UNSERIALIZABLE = "#UNSERIALIZABLE"
ERROR_TRACED = "#ERROR+"
"""Value: (the exception, its traceback as text)."""

NOTE = 0x23
HELLO = b"#H"
"""Then a pickle of (lease, pid, name, {ident: grants})."""
DROP = b"#D"
"""Then a pickle of ([(ident, grants), ...], seconds to wait)."""
REDEEM = b"#T"
"""Then the name of a reference in transit that is not needed."""
CANCEL = b"#C"
"""The request that is being waited for shall be given up."""
RENEW = b"#N"
"""Another thread uses this connection from now on."""

GRANTS = b"##"
"""Before an answer: the proxies in it are counted for the reader already."""

PROTOCOL = 5
"""Of the pickles. CPython reads it from 3.8 on; protocol 4 knows no buffers and forgets that an array is read-only."""

NOTHING = _pickle.dumps((RETURN, None), PROTOCOL)
TRUE = _pickle.dumps((RETURN, True), PROTOCOL)
FALSE = _pickle.dumps((RETURN, False), PROTOCOL)
"""The commonest answers, ready made; both sides know them by their bytes."""

SCALARS = frozenset((int, str, bytes, bool, float, type(None)))
"""What needs no reducers, no transfer and no names: pickled without further ado."""

GETVALUE = "#GETVALUE"
UPDATE = "#UPDATE"
"""Replace the item, or the value, by what a function makes of it."""
BATCH = "#BATCH"
