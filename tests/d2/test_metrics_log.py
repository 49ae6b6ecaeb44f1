from kmax_deeplab.d2.metrics_log import forget_metrics_from

LINES = [f'{{"iteration": {iteration}, "loss": 1.0}}\n' for iteration in (19, 39, 59)]


def test_iterations_that_will_be_repeated_are_cut_off(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("".join(LINES))
    forget_metrics_from(path, 40)
    assert path.read_text() == "".join(LINES[:2])


def test_a_line_broken_by_a_kill_is_cut_off(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(LINES[0] + LINES[1][:-5])
    forget_metrics_from(path, 1000)
    assert path.read_text() == LINES[0]


def test_a_writer_that_has_the_file_open_goes_on_at_its_new_end(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("".join(LINES))
    with path.open("a") as writer:
        forget_metrics_from(path, 20)
        writer.write(LINES[2])
    assert path.read_text() == LINES[0] + LINES[2]


def test_a_run_without_metrics_is_left_alone(tmp_path):
    forget_metrics_from(tmp_path / "metrics.json", 0)
    assert not list(tmp_path.iterdir())
