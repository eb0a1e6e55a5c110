"""A process that has ended and is not joined stays a zombie until somebody asks."""

import procession as mp


def nothing():
    pass


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


if __name__ == "__main__":
    child = mp.get_context("spawn").Process(target=nothing)
    child.start()
    mp.connection.wait([child.sentinel])  # it has ended, and nobody has joined it
    print("state:", state(child.pid))
    print("children alive:", mp.active_children())  # this joins what has ended
    try:
        state(child.pid)
    except FileNotFoundError:
        print("no zombie any more")
