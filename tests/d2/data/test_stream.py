from itertools import islice

import pytest

from kmax_deeplab.d2.data.stream import BatchPlan, TrainingStream, build_stream_loader, derive_seed

RECORDS = [{"name": name} for name in "abcde"]


def name_and_seed(record, seed):
    return (record["name"], seed)


def batches(count, **settings):
    stream = TrainingStream(RECORDS, name_and_seed, seed=3)
    return list(islice(build_stream_loader(stream, 2, **settings), count))


def test_every_epoch_shows_every_record_once_in_another_order():
    stream = TrainingStream(RECORDS, name_and_seed, seed=3)
    epochs = [[stream[5 * epoch + i][0] for i in range(5)] for epoch in range(4)]
    assert all(sorted(epoch) == list("abcde") for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_record_is_augmented_differently_in_every_epoch():
    stream = TrainingStream(RECORDS, name_and_seed, seed=3)
    seeds = [stream[position][1] for position in range(20)]
    assert len(set(seeds)) == 20


def test_a_stream_started_later_continues_the_uninterrupted_one():
    assert batches(4, first_position=6) == batches(7)[3:]


def test_workers_do_not_change_the_data():
    assert batches(5, num_workers=2) == batches(5)


def test_processes_share_out_the_batch_of_one_process():
    alone = BatchPlan(total=4, rank=0, world_size=1, first_position=9).positions()
    pair = [BatchPlan(4, rank, world_size=2, first_position=9).positions() for rank in (0, 1)]
    for _ in range(3):
        assert list(islice(alone, 4)) == [*islice(pair[0], 2), *islice(pair[1], 2)]


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ValueError, match=r"SOLVER.IMS_PER_BATCH is 3.*2"):
        BatchPlan(total=3, rank=0, world_size=2)


def test_seeds_depend_on_every_part():
    seeds = {derive_seed(a, b) for a in range(20) for b in range(20)}
    assert len(seeds) == 400
