from __future__ import annotations

import pytest

from bertd.run.machine.command_environment import job_environment, refusal_of_variable, select_environment


def test_what_programs_and_compute_libraries_need_is_passed_and_nothing_else() -> None:
    passed = {"PATH": "/bin", "VIRTUAL_ENV": "/v", "LC_ALL": "C", "NCCL_DEBUG": "INFO", "HF_HOME": "/hf"}
    kept_back = {"EDITOR": "vi", "SSH_AUTH_SOCK": "/s", "HOME": "/home/ada", "CUDA_VISIBLE_DEVICES": "3"}
    assert select_environment(passed | kept_back) == passed


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "WANDB_API_KEY", "MY_PASSWORD", "aws_secret_access_key", "TOKEN", "GITHUB_TOKENS", "APIKEY"]
)
def test_a_secret_is_never_passed_not_even_by_name(name: str) -> None:
    assert select_environment({name: "x"}) == {}
    refusal = refusal_of_variable(name)
    assert refusal is not None and refusal.startswith("names a secret")
    assert job_environment({name: "x"}, {}, num_cpus=None, variables={}) == {}


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MONKEY_PATH", "KEYBOARD", "OMP_NUM_THREADS", "AUTHOR"])
def test_a_name_that_only_resembles_a_secret_is_not_one(name: str) -> None:
    assert refusal_of_variable(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CUDA_VISIBLE_DEVICES", "set by bertd"),
        ("BERTD_JOB", "set by bertd"),
        ("HOME", "that of the daemon's user"),
        ("XDG_RUNTIME_DIR", "that of the daemon's user"),
        ("A B", "is not the name"),
        ("", "is not the name"),
    ],
)
def test_what_others_decide_is_refused_with_the_reason(name: str, words: str) -> None:
    assert words in str(refusal_of_variable(name))


def test_the_user_and_the_devices_are_those_of_the_runner() -> None:
    own = {"HOME": "/var/lib/bertd", "XDG_CACHE_HOME": "/c", "CUDA_VISIBLE_DEVICES": "GPU-a", "PATH": "/daemon"}
    environment = job_environment({"PATH": "/mine"}, own, num_cpus=None, variables={"BERTD_JOB": "/j"})
    assert environment == {
        "PATH": "/mine",
        "HOME": "/var/lib/bertd",
        "XDG_CACHE_HOME": "/c",
        "CUDA_VISIBLE_DEVICES": "GPU-a",
        "BERTD_JOB": "/j",
    }


def test_a_command_on_cores_has_as_many_threads_unless_it_was_submitted_with_others() -> None:
    assert job_environment({}, {}, num_cpus=3, variables={})["OMP_NUM_THREADS"] == "3"
    assert job_environment({"OMP_NUM_THREADS": "1"}, {}, num_cpus=3, variables={})["OMP_NUM_THREADS"] == "1"
