"""The own symmetric product compiled for cards that are not there: test_triton_symmetric_product.py runs this."""

from __future__ import annotations

import pytest
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from bertd.train.backends.triton_symmetric_product import multiply_by_transpose_tile
from bertd.train.optim.symmetric_product import _BLOCK_C, _BLOCK_R, _NUM_STAGES, _NUM_WARPS
from tests.train.backends.compiled_triton_attention import SHARED_MEMORY


@pytest.mark.parametrize("capability", list(SHARED_MEMORY))
@pytest.mark.parametrize("has_add", [True, False])
def test_it_compiles_and_fits_the_card(capability: int, has_add: bool) -> None:
    names = multiply_by_transpose_tile.arg_names
    constants: dict[str, object] = {
        "R": 1024,
        "C": 4096,
        "HAS_ADD": has_add,
        "BLOCK_R": _BLOCK_R,
        "BLOCK_C": _BLOCK_C,
        "IN_FP32": False,
    }
    types = {"alpha": "fp32", "beta": "fp32"}
    signature = {name: "constexpr" if name in constants else types.get(name, "*bf16") for name in names}
    # What Triton finds out of the arguments of a call: addresses are multiples of 16.
    aligned = [index for index, name in enumerate(names) if name.endswith("_ptr")]
    source = ASTSource(
        multiply_by_transpose_tile,
        signature,
        {(names.index(name),): value for name, value in constants.items()},
        {(index,): [["tt.divisibility", 16]] for index in aligned},
    )

    compiled = compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": _NUM_WARPS, "num_stages": _NUM_STAGES},
    )

    assert compiled.asm["cubin"]
    assert compiled.metadata.shared <= SHARED_MEMORY[capability]
