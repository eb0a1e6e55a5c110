"""A reader sees the end of a pipe only when every copy of the other end is closed; a forked child has copies."""

import procession as mp


def read(connection, other_end):
    other_end.close()  # under fork this child has a copy; under spawn it was sent one
    try:
        while True:
            print(connection.recv())
    except EOFError:
        print("end")


if __name__ == "__main__":
    here, there = mp.Pipe()
    child = mp.Process(target=read, args=(there, here))
    child.start()
    there.close()
    here.send("hello")
    here.close()
    child.join()
