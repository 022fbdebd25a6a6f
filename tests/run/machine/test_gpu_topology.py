"""bertd.run.machine.gpu_topology: what NVML says of a pair, and what it does not say."""

from __future__ import annotations

from bertd.run.machine.gpu_topology import Closeness, closeness_of, read_links


class NVMLError(Exception):
    pass


class FakeNvml:
    """Four cards: 0 and 1 by NVLink, 2 and 3 on one switch; card 3 says nothing of NVLink, and 0 nothing of 3."""

    NVMLError = NVMLError

    def nvmlDeviceGetP2PStatus(self, a: int, b: int, capability: int) -> int:  # noqa: N802
        assert capability == 2
        if 3 in (a, b):
            raise NVMLError("not supported")
        return 0 if {a, b} == {0, 1} else 5

    def nvmlDeviceGetTopologyCommonAncestor(self, a: int, b: int) -> int:  # noqa: N802
        if {a, b} == {0, 3}:
            raise NVMLError("unknown")
        return 10 if {a, b} == {2, 3} else 50


def test_each_pair_is_as_close_as_the_driver_says() -> None:
    links = read_links(FakeNvml(), {f"GPU-{index}": index for index in range(4)})
    assert len(links) == 6
    assert closeness_of("GPU-1", "GPU-0", links) is Closeness.NVLINK
    assert closeness_of("GPU-2", "GPU-3", links) is Closeness.SWITCH
    assert closeness_of("GPU-0", "GPU-2", links) is Closeness.SYSTEM
    assert closeness_of("GPU-3", "GPU-0", links) is Closeness.SYSTEM
    assert closeness_of("GPU-0", "GPU-9", links) is Closeness.SYSTEM


def test_a_driver_without_these_functions_leaves_all_pairs_apart() -> None:
    class Old:
        NVMLError = NVMLError

    assert set(read_links(Old(), {"a": 0, "b": 1}).values()) == {Closeness.SYSTEM}
