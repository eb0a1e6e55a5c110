"""Accounts in a manager: nested proxies, a lock, a namespace, a class of one's own."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.managers import BaseManager, SyncManager


class Account:
    def __init__(self, owner):
        self.owner, self.balance, self._secret = owner, 0, 1

    def add(self, amount):
        if amount < 0:
            raise ValueError("amount must not be negative")
        self.balance += amount
        return self.balance

    def get(self):
        return self.owner, self.balance


class BankManager(BaseManager):
    pass


BankManager.register("Account", Account)


def work(accounts, names, namespace, lock, account):
    for name in names:
        with lock:
            accounts[name] += 1
            namespace.total += 1
        account.add(2)


def main():
    multiprocessing.set_start_method(sys.argv[1])
    with multiprocessing.Manager() as manager, BankManager() as bank:
        names = manager.list(["ann", "bob"])
        accounts = manager.dict({name: 0 for name in names})
        accounts["nested"] = manager.list([1, 2])
        namespace, lock = manager.Namespace(total=0), manager.Lock()
        account = bank.Account("joint")
        processes = [
            multiprocessing.Process(target=work, args=(accounts, names, namespace, lock, account))
            for _ in range(4)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        accounts["nested"].append(3)
        print(list(accounts["nested"]), accounts["ann"], accounts["bob"], namespace.total, account.get())
        print(sorted(accounts.keys()), names[::-1], len(names), isinstance(manager, SyncManager))
        try:
            account.add(-1)
        except ValueError as error:
            print(error)
        try:
            account._secret
        except AttributeError as error:
            print(error)


if __name__ == "__main__":
    main()
