"""The savings of the encoder do not change what it computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bertd.model.encoder import EncoderConfig, MaskedLanguageModel, use_packed_attention
from bertd.model.flops import missing_mfu_reason, training_flops
from tests.model.test_export import FAMILIES, MODERN, TINY, trained_like


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    inputs_BS = torch.randint(0, 100, (3, 16), generator=generator)
    positions_BM = torch.stack([torch.randperm(16, generator=generator)[:4] for _ in range(3)])
    return inputs_BS, positions_BM, torch.randint(0, 100, (3, 4), generator=generator)


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_the_sparse_loss_equals_the_loss_over_all_logits(config: EncoderConfig) -> None:
    model = trained_like(config)
    inputs_BS, positions_BM, labels_BM = batch()

    sparse = model(inputs_BS, positions_BM, labels_BM)

    logits_BSV = model.logits(inputs_BS)
    logits_BMV = logits_BSV.gather(1, positions_BM.unsqueeze(-1).expand(-1, -1, logits_BSV.size(-1)))
    dense = torch.nn.functional.cross_entropy(logits_BMV.flatten(0, 1), labels_BM.flatten(), reduction="sum")
    assert torch.allclose(sparse, dense, rtol=1e-5)


def test_unused_prediction_slots_add_nothing() -> None:
    model = trained_like(TINY)
    inputs_BS, positions_BM, labels_BM = batch()
    shorter = model(inputs_BS, positions_BM[:, :3], labels_BM[:, :3])
    labels_BM[:, 3] = -100

    assert torch.allclose(model(inputs_BS, positions_BM, labels_BM), shorter)


def test_entries_that_pad_the_vocabulary_get_no_gradient() -> None:
    model = trained_like(TINY)
    with torch.no_grad():
        model.head.bias[TINY.vocab_size :] = MaskedLanguageModel(TINY, seed=1).head.bias[TINY.vocab_size :]

    model(*batch()).backward()

    assert model.head.bias.grad is not None
    assert TINY.padded_vocab_size == 128
    assert torch.equal(model.head.bias.grad[TINY.vocab_size :], torch.zeros(28))


def test_padding_does_not_reach_the_other_positions() -> None:
    model = trained_like(TINY)
    inputs_BS, _, _ = batch()
    attention_mask_BS = torch.ones_like(inputs_BS, dtype=torch.bool)
    attention_mask_BS[:, 12:] = False
    other_BS = inputs_BS.clone()
    other_BS[:, 12:] = 7

    first, second = (
        model.logits(inputs_BS, attention_mask_BS=attention_mask_BS),
        model.logits(other_BS, attention_mask_BS=attention_mask_BS),
    )

    assert torch.equal(first[:, :12], second[:, :12])


def test_a_layer_that_looks_nearby_sees_half_its_width_on_each_side() -> None:
    layers = {0: "everywhere", 1: "nearby"}
    config = replace(MODERN, layers=len(layers), local_attention=8, global_every=2)
    encoder = trained_like(config).encoder
    ids_BS = batch()[0][:1]
    seen = {index: torch.zeros(16, dtype=torch.bool) for index in layers}
    x_BSD = encoder.embeddings(ids_BS)
    for index in layers:
        local_mask = encoder._local_mask(ids_BS, None, None) if encoder.layers[index].is_local else None
        x_BSD = x_BSD.detach().requires_grad_()
        (gradient_BSD,) = torch.autograd.grad(encoder.layers[index](x_BSD, local_mask, None)[0, 8].sum(), x_BSD)
        seen[index] = gradient_BSD[0].abs().sum(-1) > 0

    assert seen[0].all()
    assert seen[1].nonzero().flatten().tolist() == list(range(4, 13))


@pytest.mark.parametrize("layers", [3, 4], ids=["nearby in the last", "everywhere in the last"])
def test_padding_far_from_all_text_leaves_everything_finite(layers: int) -> None:
    config = replace(MODERN, layers=layers, local_attention=4)
    model = trained_like(config)
    inputs_BS, positions_BM, labels_BM = batch()
    attention_mask_BS = torch.ones_like(inputs_BS, dtype=torch.bool)
    attention_mask_BS[:, 6:] = False
    positions_BM = positions_BM % 6
    other_BS = inputs_BS.clone()
    other_BS[:, 6:] = 7

    loss = model(inputs_BS, positions_BM, labels_BM, attention_mask_BS)
    loss.backward()

    assert torch.equal(loss, model(other_BS, positions_BM, labels_BM, attention_mask_BS))
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


def test_the_seed_alone_decides_the_initial_weights() -> None:
    torch.manual_seed(0)
    first = MaskedLanguageModel(TINY, seed=9).state_dict()
    torch.manual_seed(1)
    second = MaskedLanguageModel(TINY, seed=9).state_dict()

    assert all(torch.equal(first[name], second[name]) for name in first)
    layers = [first[f"encoder.layers.{index}.feed_forward.up.weight"] for index in range(2)]
    assert not torch.equal(layers[0], layers[1])


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_every_matrix_begins_with_a_draw_of_its_own_of_std_0_02_and_every_bias_at_zero(config: EncoderConfig) -> None:
    model = MaskedLanguageModel(config, seed=9)
    named = {name: parameter.detach() for name, parameter in model.named_parameters()}
    named["head.bias"] = named["head.bias"][: config.vocab_size]
    matrices = [parameter.flatten() for parameter in named.values() if parameter.dim() == 2]
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]

    # Some 1,000 to 6,000 numbers each: their spread is within 10 % of the true one.
    assert [float(matrix.std()) for matrix in matrices] == pytest.approx([0.02] * len(matrices), rel=0.1)
    assert [float(matrix.mean()) for matrix in matrices] == pytest.approx([0.0] * len(matrices), abs=2e-3)
    numbers = torch.cat(matrices).tolist()
    assert len(set(numbers)) > 0.99 * len(numbers), "a draw was used twice"
    assert not any(parameter.any() for name, parameter in named.items() if name.endswith("bias"))
    assert len(norms) > 4 and all(bool((norm.weight == 1).all()) for norm in norms)


def test_depth_scaling_shrinks_what_layers_add_and_nothing_else() -> None:
    # Of 2 layers the number of layers and the root of twice that many are the same.
    deep = replace(TINY, layers=8)
    plain = MaskedLanguageModel(deep, seed=9).state_dict()
    scaled = MaskedLanguageModel(replace(deep, depth_scaled_init=True), seed=9).state_dict()

    changed = {name for name in plain if not torch.equal(plain[name], scaled[name])}

    parts = ("attention.out.weight", "feed_forward.down.weight")
    assert changed == {f"encoder.layers.{index}.{part}" for index in range(8) for part in parts}
    assert all(torch.allclose(scaled[name] * 4, plain[name]) for name in changed)


def test_the_flop_formula_gives_the_published_figure_for_bert_large() -> None:
    large = replace(TINY, vocab_size=30522, layers=24, width=1024, heads=16, ffn=4096)

    assert training_flops(large, sequence_length=128, predictions=20) == pytest.approx(240.6e9, rel=1e-3)


def test_an_unknown_gpu_is_told_and_a_known_one_is_not() -> None:
    reason = missing_mfu_reason("NVIDIA GeForce GTX 1080 Ti")

    assert (
        reason is not None
        and reason.startswith("NVIDIA GeForce GTX 1080 Ti: an unknown GPU")
        and "bertd bench" in reason
    )
    assert missing_mfu_reason("NVIDIA H200") is None and missing_mfu_reason("NVIDIA TITAN V") is None


class PackedCalls:
    """PyTorch's attention over packed products, and what it was called with."""

    def __init__(self) -> None:
        self.shapes: list[tuple[tuple[int, ...] | None, tuple[int, ...]]] = []

    def __call__(
        self, q_BMHK: Tensor | None, packed_BSPHK: Tensor, *, attention_mask_BS: Tensor | None, dropout: float
    ) -> Tensor:
        self.shapes.append((None if q_BMHK is None else tuple(q_BMHK.shape), tuple(packed_BSPHK.shape)))
        queries = () if q_BMHK is None else (q_BMHK,)
        q, k, v = (each.transpose(1, 2) for each in (*queries, *packed_BSPHK.unbind(2)))
        mask = None if attention_mask_BS is None else attention_mask_BS[:, None, None, :]
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return mixed.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_attention_over_the_packed_products_is_the_same_attention(config: EncoderConfig, is_masked: bool) -> None:
    model = trained_like(config).train()
    attention_mask_BS = torch.arange(16).expand(3, 16) < torch.tensor([[16], [12], [9]]) if is_masked else None
    calls, results = PackedCalls(), []
    for attend in (None, calls, None):
        use_packed_attention(model, attend)
        torch.manual_seed(0)
        loss = model(*batch(), attention_mask_BS)
        results.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])

    for own in results[1:]:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(own, results[0], strict=True))
    # Rotary positions turn q and k between the product and the attention: those models stay with PyTorch's.
    is_used = config.positions != "rotary"
    assert calls.shapes == ([(None, (3, 16, 3, 4, 8)), ((3, 4, 4, 8), (3, 16, 2, 4, 8))] if is_used else [])
