"""The stand-in's eight cards through the sampler: what is read, what goes wrong, and that nothing waits for it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from bertd.api.models import DeviceProcess
from bertd.daemon.telemetry.gpu_sampler import Gpu, GpuSampler, Health
from bertd.run.machine.gpu_readings import GpuReader
from bertd.run.machine.stand_in_nvml import ECC_CARD, LOST_CARD, THROTTLING_CARD, Card, StandInNvml, eight_cards
from tests.waiting import wait_for


def describe(process: Any) -> DeviceProcess:
    return DeviceProcess(pid=process.pid, user="ada", name="python", memory_bytes=process.usedGpuMemory)


def sampler_of(nvml: StandInNvml, *, hang_s: float = 30.0) -> GpuSampler:
    gpus = [Gpu(uuid=card.uuid, name=card.name, handle=card, board=card) for card in nvml.cards]
    return GpuSampler(nvml, gpus, describe_process=describe, hang_s=hang_s)


def test_three_of_eight_cards_go_wrong_and_say_how() -> None:
    clock = SimpleNamespace(now_s=0.0)
    nvml = StandInNvml(lambda: clock.now_s, eight_cards(lost_at_s=100, throttles_from_s=50, ecc_from_s=20))
    sampler = sampler_of(nvml)
    sampler.read_all()
    assert {state.health for state in sampler.states().values()} == {Health.OK}
    clock.now_s = 100.0
    sampler.read_all()
    states = [sampler.states()[card.uuid] for card in nvml.cards]
    assert [index for index, state in enumerate(states) if state.health is Health.LOST] == [LOST_CARD]
    assert states[LOST_CARD].reading is None and states[LOST_CARD].error == "GPU is lost"
    readings = [state.reading for state in states if state.reading is not None]
    assert len(readings) == 7
    slowed, faulty = states[THROTTLING_CARD].reading, states[ECC_CARD].reading
    assert slowed is not None and slowed.slowed_by == ("HwThermalSlowdown",) and slowed.sm_mhz == 900
    assert faulty is not None and (faulty.ecc_uncorrected, faulty.ecc_corrected) == (2, 8)
    xids = sampler.take_xids()
    assert [(uuid, xid.number) for uuid, xid in xids] == [
        (nvml.cards[LOST_CARD].uuid, 79),
        (nvml.cards[ECC_CARD].uuid, 94),
    ]
    assert sampler.take_xids() == []


def test_every_reading_has_its_unit() -> None:
    card = Card(7, pids=[12])
    reading = GpuReader(StandInNvml(lambda: 10.0, [card]), card).read()
    assert all(value is not None for value in reading.model_dump().values()), reading
    assert 0.9 < (reading.utilization or 0) <= 1.0
    assert 220 < (reading.power_w or 0) < 240 and reading.power_limit_w == 250.0
    assert reading.energy_j == 228.0 * 1010
    assert (reading.pcie_width, reading.pcie_replays, reading.nvlink_errors) == (16, 1, 2)


def test_what_a_card_does_not_say_is_left_open() -> None:
    class Bare(StandInNvml):
        def nvmlDeviceGetPowerUsage(self, card: Card) -> int:  # noqa: N802
            raise self.NVMLError(3, "Not Supported")

    card = Card(0)
    assert GpuReader(Bare(lambda: 0.0, [card]), card).read().power_w is None


@pytest.mark.parametrize(("value", "health"), [(999, Health.FAILING), (9, Health.FAILING), (15, Health.LOST)])
def test_an_error_of_the_driver_is_a_state_since_its_first(value: int, health: Health) -> None:
    nvml = StandInNvml(lambda: 0.0)
    sampler = sampler_of(nvml)
    nvml.cards[1].error = (value, "no")
    sampler.read_all()
    first = sampler.states()[nvml.cards[1].uuid]
    sampler.read_all()
    again = sampler.states()[nvml.cards[1].uuid]
    assert (first.health, first.error) == (health, "no")
    assert again.since_t == first.since_t is not None


def test_an_answer_that_it_cannot_give_is_no_fault() -> None:
    nvml = StandInNvml(lambda: 0.0)
    sampler = sampler_of(nvml)
    nvml.cards[1].error = (3, "Not Supported")
    sampler.read_all()
    assert sampler.states()[nvml.cards[1].uuid].health is Health.OK


def test_cards_that_hang_one_after_the_other_cost_a_thread_each_and_come_back() -> None:
    nvml = StandInNvml(lambda: 0.0)
    before = threading.active_count()
    holds = {index: threading.Event() for index in (2, 5)}
    for index, hold in holds.items():
        nvml.cards[index].hang = hold
    sampler = sampler_of(nvml, hang_s=0.05)
    sampler.read_first()
    states = sampler.states()
    assert [states[card.uuid].health is Health.NOT_ANSWERING for card in nvml.cards] == [
        *(False, False, True, False, False, True, False, False)
    ]
    assert all(states[card.uuid].reading is not None for card in nvml.cards if card.index not in holds)
    assert threading.active_count() == before + 2
    for hold in holds.values():
        hold.set()
    wait_for(
        lambda: all(state.health is Health.OK for state in sampler.states().values()), what="the cards to answer again"
    )
    wait_for(lambda: threading.active_count() == before, what="their threads to end")


def test_a_card_that_hangs_later_leaves_the_others_read() -> None:
    nvml = StandInNvml(lambda: 0.0)
    sampler = sampler_of(nvml, hang_s=0.05)
    sampler.start()
    hold = threading.Event()
    nvml.cards[0].hang = hold

    def is_given_up() -> bool:
        sampler.give_up_hanging()
        return sampler.states()[nvml.cards[0].uuid].health is Health.NOT_ANSWERING

    wait_for(is_given_up, what="the card to be given up")
    nvml.cards[7].is_busy = False

    def is_read() -> bool:
        reading = sampler.states()[nvml.cards[7].uuid].reading
        return reading is not None and reading.utilization == 0.0

    wait_for(is_read, what="the others to be read on")
    hold.set()
    sampler.stop()
