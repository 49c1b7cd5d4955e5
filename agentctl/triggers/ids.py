"""Names of runs."""

from __future__ import annotations

import os

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH = 12


def new_run_id() -> str:
    """Twelve letters and digits (62 bits), random from the first one on: a few typed letters name one run."""
    number = int.from_bytes(os.urandom(8)) >> 2  # 2 ** 62 is just under 36 ** 12
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_LETTERS))
        digits.append(_LETTERS[digit])
    return "".join(digits)
