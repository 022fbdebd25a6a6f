"""Sign what a webhook gets: HMAC-SHA256 over the body, with a secret that is read from a file of its owner alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path

from bertd.errors import DeliveryError

HEADER = "Bertd-Signature"
_MIN_SECRET_BYTES = 16
_MAX_SECRET_BYTES = 4096


def sign(body: bytes, secret: bytes) -> str:
    """The header's value: `sha256=` and 64 hexadecimal digits. Source: RFC 2104."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"


def read_secret(path: Path) -> bytes:
    """The secret in a file, without line ends around it; read at each delivery, so that it can be changed.

    Raises:
        DeliveryError: it cannot be read, others may read it, or it is too short or too long.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DeliveryError(f"{path}: cannot read the secret: {error.strerror}", may_retry=False) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise DeliveryError(f"{path}: is not a file; put the secret into one", may_retry=False)
        if status.st_mode & 0o077:
            raise DeliveryError(f"{path}: others may read the secret; chmod 0600 {path}", may_retry=False)
        if status.st_uid not in (0, os.geteuid()):
            problem = f"{path}: the secret is of uid {status.st_uid}; give it to the daemon's user"
            raise DeliveryError(problem, may_retry=False)
        secret = os.read(fd, _MAX_SECRET_BYTES + 1).strip(b"\r\n")
    finally:
        os.close(fd)
    if not _MIN_SECRET_BYTES <= len(secret) <= _MAX_SECRET_BYTES:
        raise DeliveryError(
            f"{path}: the secret has {len(secret)} bytes; it has {_MIN_SECRET_BYTES} to {_MAX_SECRET_BYTES}, "
            "as `openssl rand -hex 32` writes them",
            may_retry=False,
        )
    return secret
