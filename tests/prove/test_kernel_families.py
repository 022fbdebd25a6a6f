"""Kernels by their names, and the time in which none ran."""

from __future__ import annotations

import pytest

from bertd.prove.kernel_families import OTHER, KernelRun, family_of, idle_share, sum_families


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT", "matrix products"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1", "matrix products"),
        ("void flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4>>", "attention"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_7_64x64x128", "attention"),
        ("attention_backward", "attention"),
        ("triton_red_fused_add_native_layer_norm_native_layer_norm_backward_3", "norms"),
        ("triton_poi_fused_gelu_gelu_backward_5", "activation"),
        ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor<float, 4>>", "optimizer"),
        ("ncclDevKernel_AllReduce_Sum_f32_RING_LL", "exchange between GPUs"),
        ("Memcpy HtoD (Pinned -> Device)", "copies and casts"),
        ("triton_per_fused__log_softmax_exp_sub_1", "loss over the vocabulary"),
        ("triton_poi_fused_add_0", "elementwise"),
        ("aten::baddbmm", "matrix products"),
        ("something new", OTHER),
    ],
)
def test_a_kernel_is_known_by_its_name(name: str, family: str) -> None:
    assert family_of(name) == family


def test_families_add_up_and_come_by_time() -> None:
    families = sum_families([("aten::mm", 2.0), ("aten::gelu", 5.0), ("aten::addmm", 1.0)])
    assert [(each.family, each.total_us, each.count) for each in families] == [
        ("activation", 5.0, 1),
        ("matrix products", 3.0, 2),
    ]


def test_idle_time_counts_overlapping_kernels_once() -> None:
    runs = [KernelRun("a", 0, 4), KernelRun("b", 2, 6), KernelRun("c", 3, 5), KernelRun("d", 8, 10)]
    assert idle_share(runs) == pytest.approx(0.2)
    assert idle_share([]) == 1.0
