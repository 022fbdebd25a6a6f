"""The remedy for what the system refused, where it depends on the reason and not on the file."""

from __future__ import annotations

import errno

_REMEDIES = {
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "the machine has too many files open; end other programs",
    errno.ENOMEM: "the machine's memory is too small; end other users of it",
    errno.EIO: "the disk cannot read it; check the disk",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
}


def remedy_for(error: OSError, *, otherwise: str) -> str:
    """What to do about the refusal; `otherwise` for a reason that says something about the file."""
    return _REMEDIES.get(error.errno or 0, otherwise)
