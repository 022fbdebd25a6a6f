from __future__ import annotations

import pytest

from bertd.daemon.admission.command_job import require_right
from bertd.errors import ClientError


@pytest.fixture(autouse=True)
def _acts_as_user_7(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its real user is another one, as after a setuid: what the daemon may do goes by the effective one."""
    monkeypatch.setattr("os.geteuid", lambda: 7)
    monkeypatch.setattr("os.getuid", lambda: 1000)


@pytest.mark.parametrize(("uid", "for_operators"), [(0, False), (7, False), (1000, True)])
def test_who_may_run_a_program_as_the_daemon_s_user(uid: int, for_operators: bool) -> None:
    require_right(uid, for_operators=for_operators)


def test_an_operator_may_not_where_the_configuration_says_so() -> None:
    with pytest.raises(ClientError, match=r"uid 1000: may not run programs .* commands\.for_operators is false"):
        require_right(1000, for_operators=False)
