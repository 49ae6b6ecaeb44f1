"""The watch of a rank, on a store within this process."""

from torch import distributed

from kmax_deeplab.d2.ranks.watch import Watch


def test_rank_0_leaves_though_another_never_says_that_it_left():
    Watch(distributed.HashStore(), 0, 2, timeout=0.2).stop()
