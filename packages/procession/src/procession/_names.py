"""Which module each public name comes from.

Written by tools/gen_namespace.py; edit PLACES there.
"""

from __future__ import annotations

NAMES = {
    "SUBDEBUG": "procession_core",
    "SUBWARNING": "procession_core",
    "Array": "procession_sharedctypes",
    "AuthenticationError": "procession_core",
    "Barrier": "procession_synchronize",
    "BoundedSemaphore": "procession_synchronize",
    "BufferTooShort": "procession_core",
    "Condition": "procession_synchronize",
    "Event": "procession_synchronize",
    "ForeignTreeError": "procession_core",
    "InheritanceError": "procession_core",
    "JoinableQueue": "procession_queues",
    "Lock": "procession_synchronize",
    "Manager": "procession._default",
    "NotSupportedError": "procession_core",
    "OwnerDiedError": "procession_core",
    "PeerDiedError": "procession_core",
    "Pipe": "procession_connection",
    "Pool": "procession_pool",
    "Process": "procession_process",
    "ProcessError": "procession_core",
    "ProcessStateError": "procession_core",
    "Queue": "procession_queues",
    "RLock": "procession_synchronize",
    "RawArray": "procession_sharedctypes",
    "RawValue": "procession_sharedctypes",
    "Semaphore": "procession_synchronize",
    "ServerDiedError": "procession_core",
    "ShutDown": "procession_core",
    "SimpleQueue": "procession_queues",
    "StaleHandleError": "procession_core",
    "TimeoutError": "procession_core",
    "Value": "procession_sharedctypes",
    "WorkerDiedError": "procession_core",
    "active_children": "procession_process",
    "allow_connection_pickling": "procession._default",
    "cpu_count": "procession_process",
    "current_process": "procession_process",
    "forkserver_preload_report": "procession_process",
    "freeze_support": "procession_process",
    "get_all_start_methods": "procession_process",
    "get_context": "procession._default",
    "get_logger": "procession_core",
    "get_start_method": "procession_process",
    "install": "procession._alias",
    "log_to_stderr": "procession_core",
    "memory": "procession_shm",
    "orphaned_segments": "procession_shm",
    "parent_process": "procession_process",
    "remove_orphans": "procession_shm",
    "set_executable": "procession_process",
    "set_forkserver_preload": "procession_process",
    "set_memory_limit": "procession_shm",
    "set_oob_threshold": "procession_shm",
    "set_start_method": "procession_process",
    "share": "procession_shm",
}

MODULES = (
    "context",
    "reduction",
)

MODULES_BY_NAME = {
    "reducer": "reduction",
}
