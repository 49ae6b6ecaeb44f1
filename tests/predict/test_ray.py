"""Ray Data takes the predictor as it is; what is seen goes through Arrow and Parquet unharmed."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.checkpoint.files import write_checkpoint
from kmax_deeplab.checkpoint.identity import identity_of
from kmax_deeplab.predict.predictor import Predictor
from tests.scripts import ROOT
from tests.tiny_model import tiny_model

ray = pytest.importorskip("ray", reason="an optional extra")
pytest.importorskip("ray.data", reason="an optional extra")
pytestmark = pytest.mark.slow

SIZES = {"of one size": [(80, 56)] * 3, "of many sizes": [(80, 56), (56, 80), (60, 60)]}


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, with one process that works."""
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_map_batches_takes_the_predictor(sizes, cluster, tmp_path):
    model, weights = tiny_model(folded=False), tmp_path / "model.pth"
    write_checkpoint(weights, model.state_dict(), identity_of(model).to_json())
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number, size in enumerate(sizes):
        noise = rng.integers(0, 256, (7, 10, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size).save(tmp_path / "images" / f"{number}.png")
    images = ray.data.read_images(str(tmp_path / "images"), include_paths=True)
    pool = ray.data.ActorPoolStrategy(size=1)
    found = images.map_batches(
        Predictor, fn_constructor_args=(str(weights),), compute=pool, batch_size=2
    )
    found.write_parquet(str(tmp_path / "found"))
    predict, rows = Predictor(weights), ray.data.read_parquet(str(tmp_path / "found")).take_all()
    assert len(rows) == len(sizes)
    for row in rows:
        seen = predict(row["path"])
        assert np.array_equal(row["panoptic"], seen.panoptic)
        assert row["panoptic"].dtype == np.int32
        assert json.loads(row["segments"]) == json.loads(json.dumps([*map(asdict, seen.segments)]))
