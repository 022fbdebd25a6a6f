"""The environment of a job of kind command: what is passed from who submits it, what never. Pure.

Passed: where programs are found and what language they speak (PATH, LANG, VIRTUAL_ENV, PYTHON...), and the settings of
compute libraries (CUDA_, NCCL_, OMP_, TORCH...). Others only where `--env` names them.

Never passed: a name that says that it holds a secret (..._TOKEN, ..._KEY, ..._PASSWORD), since the environment is kept
in the job's folder; CUDA_VISIBLE_DEVICES, since the lease decides; bertd's own variables. What belongs to the user that
the job runs as (HOME, USER, XDG_...) is the daemon's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PASSED_VARIABLES = frozenset(
    ("PATH", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CC", "CXX"),
)
PASSED_PREFIXES = (
    *("LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "GLOO_"),
    *("TORCH", "PYTORCH_", "TRITON_", "HF_", "TRANSFORMERS_", "CONDA_"),
)
_OF_THE_USER = frozenset(("HOME", "USER", "LOGNAME", "SHELL", "TMPDIR"))
_OF_THE_USER_PREFIX = "XDG_"
_RESERVED = frozenset(("CUDA_VISIBLE_DEVICES",))
_RESERVED_PREFIX = "BERTD_"
_SECRET = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|(?:API)?KEYS?|AUTH|COOKIES?)(?:_|$)",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def select_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a person's environment that are passed without being named."""
    return {
        name: text
        for name, text in environment.items()
        if (name in PASSED_VARIABLES or name.startswith(PASSED_PREFIXES)) and refusal_of_variable(name) is None
    }


def refusal_of_variable(name: str) -> str | None:
    """Why a variable is never passed, with the remedy; None if it may be."""
    if not _NAME.fullmatch(name):
        return "is not the name of a variable; give NAME=VALUE"
    if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
        return "is set by bertd for each job; leave it out"
    if name in _OF_THE_USER or name.startswith(_OF_THE_USER_PREFIX):
        return "is that of the daemon's user, as which the job runs; leave it out"
    if _SECRET.search(name):
        return "names a secret, and the job's environment is kept on the disk; have the program read it from a file"
    return None


def job_environment(
    passed: Mapping[str, str], own: Mapping[str, str], *, num_cpus: int | None, variables: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of the job's program.

    Args:
        passed: from who submitted it.
        own: of its runner, which is the daemon's and has the leased GPUs.
        num_cpus: cores that it has: the default of OMP_NUM_THREADS; None for a job on GPUs.
        variables: bertd's, for this job.
    """
    of_user = {
        name: text
        for name, text in own.items()
        if name in _OF_THE_USER or name in _RESERVED or name.startswith(_OF_THE_USER_PREFIX)
    }
    threads = {} if num_cpus is None else {"OMP_NUM_THREADS": str(num_cpus)}
    allowed = {name: text for name, text in passed.items() if refusal_of_variable(name) is None}
    return threads | allowed | of_user | dict(variables)
