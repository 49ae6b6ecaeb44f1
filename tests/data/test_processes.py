"""Processes that share a work."""

import os
import signal

from kmax_deeplab.data.processes import open_pool


def interrupt_itself(number: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return number + 1


def test_a_process_of_the_pool_leaves_ctrl_c_to_the_one_that_waits():
    with open_pool(2) as pool:
        assert pool.map(interrupt_itself, range(4)) == [1, 2, 3, 4]
