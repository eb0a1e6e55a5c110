"""Two processes talk over a pipe."""

import procession as mp


def answer(connection):
    while (question := connection.recv()) is not None:
        connection.send(question.upper())


if __name__ == "__main__":
    here, there = mp.Pipe()
    child = mp.Process(target=answer, args=(there,))
    child.start()
    here.send("how are you?")
    print(here.recv())
    here.send(None)
    child.join()
    print("exit code", child.exitcode)
