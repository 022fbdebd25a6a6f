"""The view of the devices: history, readings, service."""

from __future__ import annotations

from bertd.api.models import DeviceProcess, DeviceView, EventView
from bertd.errors import StorageError
from tests.tui.fake_feed import NOW, FakeFeed
from tests.tui.screen_text import refreshed, screen_lines, screen_text
from tests.tui.settled import settled
from tui.dashboard import Dashboard
from tui.device_history import HISTORY_S, DeviceHistory, add_sample
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII, UNICODE
from tui.drawing.sparkline import draw_sparkline

SIZE = (110, 34)


def _dashboard(feed: FakeFeed, *, is_readonly: bool = False) -> Dashboard:
    return Dashboard(feed, options=DisplayOptions(is_readonly=is_readonly))


def _change(feed: FakeFeed, index: int, **changes: object) -> None:
    devices = feed.status.devices
    devices[index] = devices[index].model_copy(update=changes)
    feed.change_status(devices=devices)


def test_a_sparkline_has_the_mean_of_each_span_and_gaps_where_nothing_is_known() -> None:
    samples = [(40.0, 0.0), (44.0, 1.0), (50.0, 1.0), (51.0, None), (20.0, 0.5)]
    assert draw_sparkline(samples, now=59.0, span_s=60.0, width=6, glyphs=UNICODE) == "  ▅ ▅█"
    assert draw_sparkline(samples, now=59.0, span_s=60.0, width=6, glyphs=ASCII).isascii()


def test_a_sparkline_stays_the_same_until_a_span_is_over() -> None:
    samples = [(40.0, 0.2), (50.0, 0.9)]
    drawn = {draw_sparkline(samples, now=now, span_s=60.0, width=6, glyphs=UNICODE) for now in (50.0, 55.0, 59.9)}
    assert len(drawn) == 1


def test_a_history_has_a_minute_and_none_of_the_future_after_a_clock_was_set_back() -> None:
    devices = FakeFeed().status.devices
    history = DeviceHistory()
    for second in range(100):
        history = add_sample(history, devices, t=NOW + second)
    samples = history.of(devices[0].id)
    assert (samples[0].t, samples[-1].t) == (NOW + 99 - HISTORY_S, NOW + 99)
    assert [one.t for one in add_sample(history, devices, t=NOW - 500).of(devices[0].id)] == [NOW - 500]


async def test_the_selected_device_is_shown_with_its_processes_errors_links_and_events() -> None:
    feed = FakeFeed()
    foreign = DeviceProcess(pid=77, user="eve", name="jupyter", memory_bytes=3 << 30)
    _change(feed, 6, foreign_processes=[foreign], processes=[*feed.status.devices[6].processes, foreign])
    device_id = feed.status.devices[6].id
    feed.noticed = [
        EventView(
            id=9, t=NOW, type="device", job_id=None, run_id=None, text=f"{id}: Xid 63", data={"device": id, "xid": 63}
        )
        for id in (device_id, "another")
    ]
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("6", *["down"] * 6)
        await settled(pilot)
        words = " ".join(screen_text(app).split())
    assert "4106 python of ada, 10.6 GiB, job 12" in words
    assert "77 jupyter of eve, 3.0 GiB, not of bertd" in words
    assert "PCIe 3 with 8 of 16 lanes, 41 packets sent again" in words
    assert "12:13:20 GPU-6: Xid 63" in words and "another" not in words
    assert "kWh since the driver was loaded" in words


async def test_a_lost_a_slowed_and_a_faulty_card_are_told_by_a_word() -> None:
    feed = FakeFeed()
    gpu = feed.status.devices[1].gpu
    assert gpu is not None
    _change(feed, 0, health="lost", health_text="lost since 12:00", gpu=None, utilization=None, job_id=None)
    _change(feed, 1, gpu=gpu.model_copy(update={"slowed_by": ("HwThermalSlowdown",)}))
    _change(feed, 2, gpu=gpu.model_copy(update={"ecc_uncorrected": 4}))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("6")
        await settled(pilot)
        lines = screen_lines(app)
        assert "1 lost, 1 slowed, 1 memory errors, 0 free of 8" in lines[1]
        assert "lost: lost since 12:00" in screen_text(app)
        await pilot.press("down")
        await settled(pilot)
        assert "held down: HwThermalSlowdown" in screen_text(app)


async def test_drain_and_undrain_ask_send_and_say_what_came_back() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("6", "down", "D")
        await settled(pilot)
        assert "Job 12 keeps" in screen_text(app)
        await pilot.press("tab", "enter")
        await settled(pilot)
        assert feed.asked == [("drain", "GPU-1")]
        assert "drained by ada (uid 7)" in screen_lines(app)[-1]
        await refreshed(pilot)
        await pilot.press("escape", "D", "tab", "enter")
        await settled(pilot)
        assert feed.asked[1:] == [("undrain", "GPU-1")]


async def test_a_refused_drain_says_why() -> None:
    feed = FakeFeed()
    feed.refusal = StorageError("/state/queue.db: cannot write: No space left on device")
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("6", "D", "tab", "enter")
        await settled(pilot)
        assert "No space left on device" in screen_lines(app)[-1]


async def test_read_only_and_without_a_daemon_nothing_is_drained() -> None:
    feed = FakeFeed()
    app = _dashboard(feed, is_readonly=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("6", "D")
        await settled(pilot)
        assert "read-only" in screen_lines(app)[-1]
    feed.lose(silent_s=9.0)
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("6", "D")
        await settled(pilot)
        assert "No daemon answers, so nothing was done." in screen_text(app)
    assert feed.asked == []


async def test_a_cpu_without_readings_is_shown() -> None:
    feed = FakeFeed()
    cpu = DeviceView(
        id="cpu",
        kind="cpu",
        name="AMD EPYC",
        utilization=0.5,
        memory_used_bytes=None,
        memory_total_bytes=None,
        temperature_c=None,
        power_w=None,
        job_id=None,
    )
    feed.change_status(devices=[cpu])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("6")
        await settled(pilot)
        text = screen_text(app)
    assert "cpu" in text and "free, in service" in text and "50 %" in text
