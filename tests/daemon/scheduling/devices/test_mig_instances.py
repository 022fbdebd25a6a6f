"""The instances of a GPU in MIG mode are devices of their own, over the stand-in of NVML."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest

from bertd.daemon.admission.machine import require_devices
from bertd.daemon.scheduling.devices.inventory import Devices
from bertd.errors import DeviceError
from bertd.jobs.store.leases import Lease, Leases
from bertd.run.machine.stand_in_nvml import GIB, Card, StandInNvml, card_in_mig_mode
from bertd.run.recipe.load import parse_recipe
from tests.jobs.runner_box import recipe_text


@pytest.fixture
def devices() -> Iterator[Devices]:
    """A whole card, one with two instances, and one in MIG mode without any."""
    cards = [Card(0), card_in_mig_mode(1, 2, total_bytes=16 * GIB), card_in_mig_mode(2, 0)]
    devices = Devices(StandInNvml(lambda: 0.0, cards), environment={})
    yield devices
    devices.stop()


def test_each_instance_is_shown_and_leased_by_its_uuid_with_its_own_memory(devices: Devices) -> None:
    whole, first, second = devices.inventory.gpus
    assert (whole[:4], first[:4], second[:4]) == ("GPU-", "MIG-", "MIG-") and first != second
    views = {view.id: view for view in devices.views(Leases((Lease(7, first, 1),)))}
    assert views[first].job_id == 7 and views[second].job_id is None
    assert views[first].memory_total_bytes == 16 * GIB and "MIG" in views[first].name
    # NVML says of a whole card alone how busy, warm and hungry it is.
    assert views[first].utilization is None and views[first].power_w is None and views[first].health == "ok"
    assert views[whole].utilization is not None


def test_a_card_in_mig_mode_without_instances_is_left_out_with_the_remedy(devices: Devices) -> None:
    (card,) = devices.left_out
    assert card.text == "GPU 2 is left out: it is in MIG mode and has no instances"
    assert "nvidia-smi mig -i 2 -cgi" in card.remedy and "-mig 0" in card.remedy
    assert devices.inventory.no_gpu_reason == card.text


def test_a_run_on_several_instances_is_refused() -> None:
    inventory = Devices(StandInNvml(lambda: 0.0, [card_in_mig_mode(0, 3)]), environment={}).inventory
    recipe = parse_recipe(recipe_text(), name="r.toml", overrides=["devices.kind=gpu", "devices.count=2"])
    with pytest.raises(DeviceError, match=r"this machine has 1 \(a run can have one instance .* devices.count=1"):
        require_devices(recipe, name="r.toml", inventory=inventory)


def test_finetunings_share_an_instance_by_its_own_memory(devices: Devices) -> None:
    whole, first, _ = devices.inventory.gpus
    assert [devices.inventory.finetunings_per_gpu[gpu] for gpu in (whole, first)] == [1, 1]
    assert Leases((Lease(1, first, 1, parts=2),)).free_share(first) == Fraction(1, 2)
