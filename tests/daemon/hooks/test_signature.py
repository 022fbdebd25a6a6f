"""The signature is that of RFC 4231, and a secret that others could read is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.hooks.signature import read_secret, sign
from bertd.errors import DeliveryError


def test_the_signature_is_hmac_sha256_of_the_body() -> None:
    """Source: RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign(b"what do ya want for nothing?", b"Jefe") == f"sha256={expected}"


def test_a_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"0123456789abcdef\r\n")
    file.chmod(0o600)
    assert read_secret(file) == b"0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"0123456789abcdef", 0o640, "others may read the secret; chmod 0600"),
        (b"0123456789abcdef", 0o604, "others may read the secret"),
        (b"short\n", 0o600, "the secret has 5 bytes; it has 16 to 4096"),
        (b"x" * 5000, 0o600, "the secret has 4097 bytes"),
    ],
)
def test_a_secret_that_others_know_or_guess_is_refused(content: bytes, mode: int, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(DeliveryError, match=problem) as refused:
        read_secret(file)
    assert not refused.value.may_retry


def test_a_link_or_a_folder_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    for path in (tmp_path / "link", tmp_path / "none", tmp_path):
        with pytest.raises(DeliveryError, match="secret"):
            read_secret(path)
