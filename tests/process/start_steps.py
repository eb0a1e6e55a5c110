"""Three starts in a row, with a process that kills itself at a line of this library; started by test_start_steps.py.

Arguments: the start method, who dies (parent, child or zygote), the number of the line, "daemon" or "plain". The file
``sitecustomize.py`` made from ARMING lets the interpreters that the parent starts count too. Lines are counted in
functions only, from the first start on, and one process of the run dies: the first that comes so far.
"""

from __future__ import annotations

import os
import sys

ARMING = """
import os, sys
def begin(kind):
    role, step, mine, counts = os.environ["STEP_ROLE"], int(os.environ["STEP"]), os.getpid(), {}
    def counting():
        if role == "child":
            return kind == "child" or os.getpid() != mine
        return role == kind and os.getpid() == mine
    def line(frame, event, argument):
        if event == "line" and counting():
            pid = os.getpid()
            counts[pid] = counts.get(pid, 0) + 1
            if counts[pid] == step:
                try:
                    os.close(os.open(os.environ["STEP_FILE"], os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                except FileExistsError:
                    sys.settrace(None)
                else:
                    os.kill(os.getpid(), 9)
        return line
    def call(frame, event, argument):
        code = frame.f_code
        return line if "procession_" in code.co_filename and code.co_name != "<module>" else None
    sys.settrace(call)
if "STEP_ROLE" in os.environ:
    for kind in ("child", "zygote"):
        if any(f"procession_process._{kind} import" in argument for argument in sys.orig_argv):
            begin(kind)
"""


def work():
    os.write(1, b"worked\n")


def zombies():
    count = 0
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children") as listing:
            for pid in listing.read().split():
                with open(f"/proc/{pid}/stat") as stat:
                    count += stat.read().rpartition(")")[2].split()[0] == "Z"
    return count


def main():
    import sitecustomize

    import procession_process as pp

    pp.set_start_method(sys.argv[1])
    sitecustomize.begin("parent")
    for _ in range(3):
        process = pp.Process(target=work, daemon=sys.argv[2] == "daemon")
        process.start()
        process.join(60)
        os.write(1, f"code {process.exitcode}\n".encode())
        process.close()
    sys.settrace(None)
    # A spare that has just ended is its zygote's to reap, not ours.
    os.write(1, f"left {len(os.listdir('/proc/self/fd'))} {zombies()} {len(pp.active_children())}\n".encode())


if __name__ == "__main__":
    main()
