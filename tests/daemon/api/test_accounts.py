"""Who a peer is: looked up by threads, kept for a while, and never waited for by others."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from bertd.daemon.api import accounts as module
from bertd.daemon.api.accounts import Account, Accounts, find_account
from bertd.jobs.store.audit import Peer
from tests.daemon.api.in_process_api import InProcessApi
from tests.waiting import PATIENCE_S

MEMBER, OTHER = Peer(uid=7001, gid=1, pid=1), Peer(uid=7002, gid=1, pid=1)


class Directory:
    """A list of users that answers when it may."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def find(self, uid: int, gid: int | None) -> Account:
        self.asked.append(uid)
        assert self.may_answer.wait(PATIENCE_S)
        return Account(f"user-{uid}", is_member=uid == MEMBER.uid)


@pytest.fixture
def directory() -> Iterator[Directory]:
    made = Directory()
    yield made
    made.may_answer.set()


async def test_root_the_daemons_user_and_the_groups_members_are_operators(directory: Directory) -> None:
    accounts = Accounts(directory.find)
    for peer in (MEMBER, OTHER, MEMBER, OTHER):
        await accounts.look_up(peer)
    own = Peer(uid=os.geteuid(), gid=1, pid=1)
    root = Peer(uid=0, gid=1, pid=1)
    assert [accounts.is_operator(peer) for peer in (MEMBER, OTHER, own, root)] == [True, False, True, True]
    assert directory.asked == [MEMBER.uid, OTHER.uid], "each is looked up once a minute"
    assert accounts.name(OTHER.uid) == "user-7002"


async def test_a_user_that_was_removed_from_the_group_may_soon_only_read(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = Accounts(directory.find)
    await accounts.look_up(MEMBER)
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    monkeypatch.setattr(accounts, "_find", lambda uid, gid: Account("ada"))
    await accounts.look_up(MEMBER)
    assert not accounts.is_operator(MEMBER)


async def test_others_are_served_while_the_directory_does_not_answer_for_one(directory: Directory) -> None:
    accounts = Accounts(directory.find)
    await accounts.look_up(OTHER)
    directory.may_answer.clear()
    waiting = [asyncio.create_task(accounts.look_up(MEMBER)) for _ in range(3)]
    await asyncio.sleep(0)
    await accounts.look_up(OTHER)
    assert not accounts.is_operator(MEMBER)
    directory.may_answer.set()
    await asyncio.gather(*waiting)
    assert accounts.is_operator(MEMBER)
    assert directory.asked == [OTHER.uid, MEMBER.uid], "who asks again while it is looked up waits for the same"


async def test_what_was_known_stays_where_the_directory_takes_too_long(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_UP_LIMIT_S", 0.01)
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    accounts = Accounts(directory.find)
    directory.may_answer.clear()
    await accounts.look_up(MEMBER)
    assert not accounts.is_operator(MEMBER) and accounts.name(MEMBER.uid) is None
    directory.may_answer.set()
    while not accounts.is_operator(MEMBER):
        await asyncio.sleep(0.001)
    directory.may_answer.clear()
    await accounts.look_up(MEMBER)
    assert accounts.is_operator(MEMBER)
    assert "did not answer" in caplog.text


async def test_the_number_of_users_that_are_kept_is_bounded(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_KEPT", 3)
    accounts = Accounts(directory.find)
    for uid in range(9000, 9010):
        await accounts.look_up(Peer(uid=uid, gid=1, pid=1))
        assert accounts.name(uid) == f"user-{uid}" and len(accounts._kept) <= 3


def test_the_machines_own_lists_are_read() -> None:
    assert find_account(0, 0).name == "root"
    assert find_account(54321, 54321) == Account()
    assert find_account(54321, None) == Account()


def test_a_look_up_is_never_made_by_the_thread_of_the_loop(api: InProcessApi, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set[threading.Thread]()

    def find(uid: int, gid: int | None) -> Account:
        threads.add(threading.current_thread())
        return find_account(uid, gid)

    accounts = api.services.request_handler.changes.accounts
    monkeypatch.setattr(accounts, "_find", find)
    assert api.ask("GET", "/v1/status").status == 200
    assert api.ask("POST", "/v1/jobs/1/pause").status == 404
    (row,) = api.ask("GET", "/v1/audit").json
    assert row["user"] == find_account(os.getuid(), None).name
    assert api.ask("GET", "/v1/audit?user=root").status == 200
    assert threads and threading.main_thread() not in threads
