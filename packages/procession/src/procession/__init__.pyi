# ruff: noqa: A004, F401, I001
"""The namespace as type checkers see it.

Written by tools/gen_namespace.py; edit PLACES there.
"""

from __future__ import annotations

from procession_connection import Pipe as Pipe
from procession_core import SUBDEBUG as SUBDEBUG
from procession_core import SUBWARNING as SUBWARNING
from procession_core import AuthenticationError as AuthenticationError
from procession_core import BufferTooShort as BufferTooShort
from procession_core import ForeignTreeError as ForeignTreeError
from procession_core import InheritanceError as InheritanceError
from procession_core import NotSupportedError as NotSupportedError
from procession_core import OwnerDiedError as OwnerDiedError
from procession_core import PeerDiedError as PeerDiedError
from procession_core import ProcessError as ProcessError
from procession_core import ProcessStateError as ProcessStateError
from procession_core import ServerDiedError as ServerDiedError
from procession_core import ShutDown as ShutDown
from procession_core import StaleHandleError as StaleHandleError
from procession_core import TimeoutError as TimeoutError
from procession_core import WorkerDiedError as WorkerDiedError
from procession_core import get_logger as get_logger
from procession_core import log_to_stderr as log_to_stderr
from procession_pool import Pool as Pool
from procession_pool import get_reusable_pool as get_reusable_pool
from procession_process import Process as Process
from procession_process import active_children as active_children
from procession_process import cpu_count as cpu_count
from procession_process import current_process as current_process
from procession_process import forkserver_preload_report as forkserver_preload_report
from procession_process import freeze_support as freeze_support
from procession_process import get_all_start_methods as get_all_start_methods
from procession_process import get_start_method as get_start_method
from procession_process import parent_process as parent_process
from procession_process import set_executable as set_executable
from procession_process import set_forkserver_preload as set_forkserver_preload
from procession_process import set_start_method as set_start_method
from procession_queues import JoinableQueue as JoinableQueue
from procession_queues import Queue as Queue
from procession_queues import SimpleQueue as SimpleQueue
from procession_sharedctypes import Array as Array
from procession_sharedctypes import RawArray as RawArray
from procession_sharedctypes import RawValue as RawValue
from procession_sharedctypes import Value as Value
from procession_shm import memory as memory
from procession_shm import orphaned_segments as orphaned_segments
from procession_shm import remove_orphans as remove_orphans
from procession_shm import set_memory_limit as set_memory_limit
from procession_shm import set_oob_threshold as set_oob_threshold
from procession_shm import share as share
from procession_synchronize import Barrier as Barrier
from procession_synchronize import BoundedSemaphore as BoundedSemaphore
from procession_synchronize import Condition as Condition
from procession_synchronize import Event as Event
from procession_synchronize import Lock as Lock
from procession_synchronize import RLock as RLock
from procession_synchronize import Semaphore as Semaphore

from . import connection as connection
from . import context as context
from . import dummy as dummy
from . import forkserver as forkserver
from . import heap as heap
from . import managers as managers
from . import pool as pool
from . import popen_fork as popen_fork
from . import popen_forkserver as popen_forkserver
from . import popen_spawn_posix as popen_spawn_posix
from . import popen_spawn_win32 as popen_spawn_win32
from . import process as process
from . import queues as queues
from . import reduction as reduction
from . import resource_sharer as resource_sharer
from . import resource_tracker as resource_tracker
from . import shared_memory as shared_memory
from . import sharedctypes as sharedctypes
from . import spawn as spawn
from . import synchronize as synchronize
from . import util as util
from . import reduction as reducer
from ._alias import install as install
from ._default import Manager as Manager
from ._default import allow_connection_pickling as allow_connection_pickling
from ._default import get_context as get_context

__all__: tuple[str, ...]
