"""The trees of all benchmarks in one folder, prepared, and figures of a nearly right model."""

import pytest

from tests.datasets.oracle import Oracle
from tests.datasets.prepared import BENCHMARKS, registered


@pytest.fixture(scope="session")
def datasets_root(tmp_path_factory):
    """A folder of datasets in which every benchmark was prepared from its archives."""
    root = tmp_path_factory.mktemp("datasets")
    for benchmark in BENCHMARKS:
        benchmark.build(root)
        benchmark.prepare(root)
    return root


@pytest.fixture(scope="module", params=BENCHMARKS, ids=lambda benchmark: benchmark.name)
def benchmark(request, datasets_root, one_thread):
    """A prepared benchmark, registered under its released names."""
    with registered(datasets_root):
        yield request.param


@pytest.fixture(scope="module")
def scored(benchmark, tmp_path_factory):
    """Folder of results and results of a nearly right model, whose predictions were kept."""
    output = tmp_path_factory.mktemp("scored")
    results = benchmark.score(output, Oracle(benchmark.test_set), **{"TEST.SAVE_PREDICTIONS": True})
    return output / "inference", results
