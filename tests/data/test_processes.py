import os
import signal

import pytest

from kmax_deeplab.data.processes import map_processes


def square(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def test_a_process_that_is_killed_ends_the_work_instead_of_stopping_it():
    with pytest.raises(ValueError, match=r"one of 2 processes was killed.*fewer --workers"):
        list(map_processes(square, range(8), workers=2, chunk=1))


def test_results_come_in_the_order_of_the_items():
    assert list(map_processes(square, range(5), workers=2, chunk=2)) == [0, 1, 4, 9, 16]
    assert list(map_processes(square, [], workers=2, chunk=2)) == []


def interrupt_itself(number):
    os.kill(os.getpid(), signal.SIGINT)
    return number + 1


def test_a_process_leaves_ctrl_c_to_the_one_that_waits():
    assert list(map_processes(interrupt_itself, range(4), workers=2, chunk=1)) == [1, 2, 3, 4]
