"""Estimate the memory that training takes, before anything is tried: an upper bound.

    states, once:        weights 4, gradients 4, AdamW's two moments 8 (Muon's one 4) bytes a parameter; weights
                         once more in 16 bits where products are in 16 bits
    a layer, a token:    D x (two LayerNorm inputs of 4 bytes, seven tensors of e, two dropout masks) + F x 2 e;
                         with a bf16 residual the two inputs have e as well;
                         two more of D where queries and keys are rotated, and of F where the activation is gated;
                         S x e in local layers where rows are padded: attention keeps its mask as numbers
    the head, a slot:    V x (logits and their gradient in e bytes and in 4, and log-probabilities in 4), as fp16 needs
                         them; bertd/model/token_loss.py takes less elsewhere
    gradients, once more: at the end of a backward pass, where the above is free again: a compiled pass returns all of
                         them before they are added to those of the pass before, or copied to DDP's buckets
    a process:           CONTEXT_BYTES, and with several ranks NCCL_BYTES

with e the bytes of a product's element. It is what eager kernels keep; compiled ones keep less, and how much less
is not measured on a GPU. tests/model/test_memory.py holds a layer's figure against what autograd keeps.
"""

from __future__ import annotations

from bertd.model.encoder import EncoderConfig

CONTEXT_BYTES = 512 * 2**20
"""CUDA's context and the kernels that are loaded into it. Others saw 426 MiB with torch 2.10 for the context alone.
Source: https://github.com/unslothai/unsloth-zoo/pull/1053; not measured here."""
NCCL_BYTES = 1536 * 2**20
"""NCCL's channels and buffers for the ranks of one machine: they grow with the links' speed, and over PCIe are far
fewer. Source: 1.6 GB in https://github.com/NVIDIA/nccl/issues/864; not measured here."""


def num_parameters(config: EncoderConfig) -> int:
    """Computed without building the model."""
    D, F, V = config.width, config.ffn, config.padded_vocab_size
    ups = 2 if config.activation == "geglu" else 1
    layer = 4 * D * D + (ups + 1) * D * F + 4 * D + (4 * D + ups * F + D if config.bias else 0)
    positions = config.max_positions * D if config.positions == "learned" else 0
    head = D * D + (D if config.bias else 0) + 2 * D + V
    outer = (2 * D if config.norm == "pre" else 0) + (2 * D if config.embedding_norm else 0)
    # ModernBERT's first layer does not norm what the embeddings have normed.
    return V * D + positions + config.layers * layer + outer + head - (2 * D if config.positions == "rotary" else 0)


def state_bytes(config: EncoderConfig, *, has_one_moment: bool, element_bytes: int) -> int:
    """Of weights, gradients and optimizer; `has_one_moment` is Muon, which still has two for the embeddings."""
    weights = num_parameters(config)
    moments = moment_bytes(config, has_one_moment=has_one_moment)
    return 8 * weights + moments + (element_bytes * weights if element_bytes < 4 else 0)


def moment_bytes(config: EncoderConfig, *, has_one_moment: bool) -> int:
    """Of the optimizer alone; `has_one_moment` as above."""
    weights, outside = num_parameters(config), config.padded_vocab_size * config.width
    return 4 * weights + 4 * outside if has_one_moment else 8 * weights


def micro_batch_bytes(config: EncoderConfig, *, sequences: int, each_bytes: int) -> int:
    """The most that a pass takes besides the states; `each_bytes` is of a sequence."""
    return max(sequences * each_bytes, 4 * num_parameters(config))


def process_bytes(*, num_ranks: int) -> int:
    """What a rank's process takes of its GPU before it has a model."""
    return CONTEXT_BYTES + exchange_bytes(num_ranks=num_ranks)


def exchange_bytes(*, num_ranks: int) -> int:
    """What a rank on a GPU needs to exchange gradients. DDP's buckets are not in it: they hold the gradients."""
    return NCCL_BYTES if num_ranks > 1 else 0


def sequence_bytes(config: EncoderConfig, *, length: int, predictions: int, element_bytes: int, is_padded: bool) -> int:
    """What the backward pass needs of one sequence of a micro-batch, and what the head takes for it."""
    head = predictions * config.padded_vocab_size * (2 * element_bytes + 12)
    embeddings = length * config.width * 5
    masks = mask_bytes(config, length=length, element_bytes=element_bytes) if is_padded else 0
    return config.layers * length * layer_token_bytes(config, element_bytes=element_bytes) + masks + embeddings + head


def mask_bytes(config: EncoderConfig, *, length: int, element_bytes: int) -> int:
    """What a padded sequence's masks take in the local layers; without padding all sequences share them."""
    return sum(map(config.is_local, range(config.layers))) * length * length * element_bytes


def layer_token_bytes(config: EncoderConfig, *, element_bytes: int) -> int:
    """What one layer keeps for one token."""
    # A mask has a byte on a GPU and an element on CPU.
    wide = 7 + (2 if config.dropout > 0 else 0) + (2 if config.positions == "rotary" else 0)
    inner = 4 if config.activation == "geglu" else 2
    residual_bytes = min(4, element_bytes) if config.has_bf16_residual else 4
    return config.width * (2 * residual_bytes + wide * element_bytes) + config.ffn * inner * element_bytes
