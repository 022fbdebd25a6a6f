"""How a dialog names the machine that it acts on, where that is not simply this one."""

from __future__ import annotations


def on_host(text: str, host: str) -> str:
    """`Pause 7-demo on gpu2?` for `Pause 7-demo?`; unchanged without a host.

    Args:
        host: as in a snapshot.
    """
    if not host:
        return text
    return f"{text.removesuffix('?')} on {host}{'?' if text.endswith('?') else ''}"
