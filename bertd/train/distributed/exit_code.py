"""Which rank's exit status explains those of the others. Pure."""

from __future__ import annotations


def choose_exit_code(exit_codes: list[int]) -> int:
    """Among ranks that died within one poll: a status of bertd's errors, else a signal, else 1.

    When one rank dies, the others fail a moment later because it is gone, with a traceback and status 1.
    """
    known = [code for code in exit_codes if code > 1]
    by_signal = [128 - code for code in exit_codes if code < 0]
    return [*known, *by_signal, 1][0]
