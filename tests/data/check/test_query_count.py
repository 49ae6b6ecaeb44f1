from kmax_deeplab.data.check.query_count import (
    describe_distribution,
    describe_excess,
    propose_queries,
)
from kmax_deeplab.data.format.measures import count_queries


def segment(category_id, isthing=True, iscrowd=0):
    return {"category_id": category_id, "isthing": isthing, "iscrowd": iscrowd}


def test_every_thing_and_every_class_of_stuff_needs_a_query_and_a_crowd_none():
    stuff = [segment(7, isthing=False), segment(7, isthing=False), segment(8, isthing=False)]
    assert count_queries([segment(1), segment(1), segment(1, iscrowd=1), *stuff]) == 4


def test_the_excess_is_counted_and_a_sufficient_number_proposed():
    sentence = describe_excess("nuclei", [10, 33, 375], 32)
    assert "nuclei: 2 of 3 images" in sentence and "queries, 32 (up to 375; 344 of 418" in sentence
    assert sentence.endswith("MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES 384 is enough")
    assert describe_excess("nuclei", [10, 32], 32) == ""
    assert [propose_queries(n) for n in ([], [0], [1], [32], [33, 2])] == [32] * 4 + [64]


def test_the_distribution_names_numbers_that_occur():
    counts = [1] * 10 + [2] * 86 + [300] * 4
    assert describe_distribution(counts) == (
        "least 1, half need at most 2, 95% at most 2, most 300"
    )
