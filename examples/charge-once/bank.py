"""A bank and a warehouse that know nothing of retries: every call of `charge` takes the money again.

    bank.py charge ORDER CENTS    takes the money, prints {"receipt": ...}
    bank.py find ORDER            prints {"done": true, "output": {"receipt": ...}} if ORDER stands charged, else {"done": false}
    bank.py refund ORDER          gives it back, once
    bank.py ship ORDER            fails for an order that begins with "sold-out"

Every movement is a line of book.csv. BANK_SLOW=1 keeps `charge` busy after the money has moved, to be killed there.
"""

import json
import os
import sys
import time

BOOK = "book.csv"


def write(kind: str, order: str, cents: int) -> None:
    with open(BOOK, "a") as book:
        book.write(f"{kind},{order},{cents}\n")


def balance(order: str) -> int:
    """What the order stands charged with, in cents."""
    if not os.path.exists(BOOK):
        return 0
    with open(BOOK) as book:
        lines = [line.split(",") for line in book.read().splitlines()]
    return sum(int(cents) * {"charge": 1, "refund": -1}[kind] for kind, name, cents in lines if name == order)


def charge(order: str, cents: str) -> None:
    write("charge", order, int(cents))
    if os.environ.get("BANK_SLOW"):
        time.sleep(60)
    print(json.dumps({"receipt": f"R-{order}"}))


def find(order: str) -> None:
    charged = balance(order) > 0
    print(json.dumps({"done": True, "output": {"receipt": f"R-{order}"}} if charged else {"done": False}))


def refund(order: str) -> None:
    cents = balance(order)
    if cents:
        write("refund", order, cents)


def ship(order: str) -> None:
    if order.startswith("sold-out"):
        sys.exit(f"order {order}: out of stock")
    print(f"order {order} is on its way")


if __name__ == "__main__":
    {"charge": charge, "find": find, "refund": refund, "ship": ship}[sys.argv[1]](*sys.argv[2:])
