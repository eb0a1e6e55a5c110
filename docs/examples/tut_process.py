"""Start a process, wait for it, look at how it ended."""

import procession as mp


def greet(name):
    print(f"hello {name}, from {mp.current_process().name}", flush=True)


def fail():
    raise SystemExit(3)


if __name__ == "__main__":
    child = mp.Process(target=greet, args=("world",), name="Greeter")
    child.start()
    child.join()
    print("exit code", child.exitcode)

    child = mp.Process(target=fail)
    child.start()
    child.join()
    print("exit code", child.exitcode)
