"""Who is to blame when a rank fails: what it refuses itself is never taken for another's death."""

import pytest
from torch import distributed

from kmax_deeplab.d2.ranks.group import is_of_others
from tests.scripts import load_script

OF_OTHERS = [
    distributed.DistNetworkError("failed to recv, got 0 bytes"),
    distributed.DistBackendError("ncclUnhandledCudaError"),
    RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Read error"),
    RuntimeError("Connection closed by peer [127.0.0.1]:4321"),
    RuntimeError("Timed out waiting 20000ms for recv operation to complete"),
]
OUR_OWN = [
    RuntimeError("nothing is left to restore it from"),
    RuntimeError("the size of tensor a (3) must match"),
    ValueError("Connection reset by peer"),
    OSError("broken pipe"),
    NotImplementedError("nccl"),
]


@pytest.mark.parametrize("error", OF_OTHERS, ids=str)
def test_an_error_of_a_joint_operation_is_of_others(error):
    assert is_of_others(error)


@pytest.mark.parametrize("error", OUR_OWN, ids=str)
def test_other_errors_are_this_rank_s_own(error):
    assert not is_of_others(error)


def test_a_refusal_is_this_rank_s_own_whatever_it_says(monkeypatch):
    slurm = load_script("tools/slurm.py")
    job = type("Job", (), {"job_id": "1 timed out", "exception": lambda _: ValueError()})()
    job.paths = type("Paths", (), {"stdout": "out", "stderr": "err"})
    monkeypatch.setattr(slurm, "submit", lambda _: job)
    with pytest.raises(RuntimeError, match="timed out") as caught:
        slurm.run(slurm.parse_args(["--cluster", "local"]))
    assert not is_of_others(caught.value)
