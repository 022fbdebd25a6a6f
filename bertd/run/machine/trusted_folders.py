"""Who else could replace the files of a folder, or the folder itself: by owner and mode, from the root down.

The daemon's state folder and the folder of its socket must belong to root or to the daemon's user, and no folder on
the way to them may be writable for everybody, except with the sticky bit (as /tmp is), which keeps what others made
from being renamed. Write permission of a group is taken as meant: its members are trusted.

A client sends recipes and commands to whatever listens, so the path says whose daemon is meant: root's, the client's
own user's, or that of the user to whom each folder on the way belongs that is not root's. Below a folder in which
everybody may create files, sticky bit or not, the path says nothing, since any user could have made what is there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_ROOT = 0


def is_root_or_own(uid: int) -> bool:
    """Whether it is root, or the user as whom this process acts: its effective one, as SO_PEERCRED has a peer's."""
    return uid in (_ROOT, os.geteuid())


def find_intruder_risk(folder: Path) -> str | None:
    """Why another user could change what is in `folder`; None if only root and this user (and groups) can.

    Raises:
        OSError: a part of the path cannot be read.
    """
    resolved = folder.resolve(strict=True)
    status = resolved.stat()
    if not is_root_or_own(status.st_uid):
        return f"it belongs to {user_name(status.st_uid)}; give it to {user_name(os.geteuid())} with chown"
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return f"every user may write there (mode {stat.S_IMODE(status.st_mode):04o}); chmod o-w it"
    for above in resolved.parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"every user may replace it, since {above} has mode {stat.S_IMODE(mode):04o}; chmod o-w that"
    return None


def is_listener_trusted(socket_path: Path, *, uid: int) -> bool:
    """Whether the user `uid`, who listens on `socket_path`, is one that the path names.

    Raises:
        OSError: a part of the path cannot be read.
    """
    if is_root_or_own(uid):
        return True
    resolved = socket_path.parent.resolve(strict=True)
    for folder in (resolved, *resolved.parents):
        status = folder.stat()
        if not (is_root_or_own(status.st_uid) or status.st_uid == uid) or status.st_mode & stat.S_IWOTH:
            return False
    return True


def user_name(uid: int) -> str:
    """`user alice`, or `user 1000` if it has no name."""
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
