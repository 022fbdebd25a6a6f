"""The Triton attention kernel compiled for cards that are not there: test_triton_attention.py runs these.

The interpreter accepts what the compiler refuses. Triton brings the assembler, so that a kernel can be built for any
card; what it shows besides is how much of a multiprocessor's shared memory a program takes.
"""

from __future__ import annotations

from typing import Any

import pytest
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from bertd.train.backends.triton_attention import num_warps
from bertd.train.backends.triton_attention_kernels import attention_backward, attention_forward

KIB = 1024
SHARED_MEMORY = {80: 163 * KIB, 86: 99 * KIB, 90: 227 * KIB}
"""Of a program, by compute capability. Source: CUDA C++ Programming Guide, technical specifications."""


def compile_for(capability: int, kernel: Any, *, K: int, block_q: int = 128, type_name: str = "bf16") -> Any:
    constants = {
        "HAS_MASK": True,
        "HAS_DROPOUT": True,
        "K": K,
        "BLOCK_Q": block_q,
        "BLOCK_S": 128,
        "IN_FP32": False,
    }
    types = {"mask_ptr": "*u8", "seed_ptr": "*i64", "scale": "fp32", "rate": "fp32"}
    signature = {
        name: "constexpr" if name in constants else types.get(name, f"*{type_name}" if name.endswith("_ptr") else "i32")
        for name in kernel.arg_names
    }
    # What Triton finds out of the arguments of a call: tensors, widths and strides are multiples of 16.
    aligned = [
        index for index, name in enumerate(kernel.arg_names) if name.endswith(("_ptr", "_stride")) or name == "H"
    ]
    source = ASTSource(
        kernel,
        signature,
        {(kernel.arg_names.index(name),): value for name, value in constants.items()},
        {(index,): [["tt.divisibility", 16]] for index in aligned},
    )
    options = {"num_warps": num_warps(block_q, 128), "num_stages": 1}
    return compile(source, target=GPUTarget("cuda", capability, 32), options=options)


@pytest.mark.parametrize("kernel", [attention_forward, attention_backward])
@pytest.mark.parametrize(
    ("capability", "K", "block_q", "type_name"),
    [
        (80, 64, 128, "bf16"),
        (86, 64, 128, "fp16"),
        (86, 64, 32, "bf16"),
        (90, 64, 128, "bf16"),
        (90, 64, 32, "bf16"),
        (90, 16, 128, "bf16"),
        (90, 128, 128, "bf16"),
    ],
)
def test_it_compiles_and_fits_the_card(kernel: Any, capability: int, K: int, block_q: int, type_name: str) -> None:
    compiled = compile_for(capability, kernel, K=K, block_q=block_q, type_name=type_name)

    assert compiled.asm["cubin"]
    assert compiled.metadata.shared <= SHARED_MEMORY[capability]
