import pytest

from kmax_deeplab import run_stamp

SETTINGS = {"SEED": "1", "data.train": "20"}


def test_a_run_finds_its_folder_again(tmp_path):
    folder = tmp_path / "a" / "demo"
    run_stamp.claim(folder, SETTINGS, "")
    (folder / "work").touch()
    run_stamp.claim(folder, SETTINGS, "")
    assert (folder / "work").exists()


def test_another_run_is_refused_with_the_difference_and_the_remedy(tmp_path):
    run_stamp.claim(tmp_path, SETTINGS, "")
    with pytest.raises(run_stamp.OtherRunError, match=r"SEED: 1 there, 2 now\nuse --restart"):
        run_stamp.claim(tmp_path, SETTINGS | {"SEED": "2"}, "use --restart")


def test_a_setting_that_is_new_makes_another_run(tmp_path):
    run_stamp.claim(tmp_path, SETTINGS, "")
    with pytest.raises(run_stamp.OtherRunError, match=r"NEW: \(none\) there, 3 now"):
        run_stamp.claim(tmp_path, SETTINGS | {"NEW": "3"}, "")


def test_a_folder_with_files_of_no_run_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(run_stamp.OtherRunError, match="choose another"):
        run_stamp.claim(tmp_path, SETTINGS, "choose another")


def test_a_restart_removes_what_the_run_wrote_and_nothing_else(tmp_path):
    run_stamp.claim(tmp_path, SETTINGS, "")
    (tmp_path / "data" / "train").mkdir(parents=True)
    for name in ("log.txt", "notes.txt", "data/train/0.jpg"):
        (tmp_path / name).touch()
    other = SETTINGS | {"SEED": "2"}
    run_stamp.restart(tmp_path, other, ("data", "log.txt", "report.html"), "")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "run.json"}
    run_stamp.claim(tmp_path, other, "")


def test_a_folder_with_files_of_no_run_is_not_restarted(tmp_path):
    (tmp_path / "log.txt").touch()
    with pytest.raises(run_stamp.OtherRunError):
        run_stamp.restart(tmp_path, SETTINGS, ("log.txt",), "")
    assert (tmp_path / "log.txt").exists()


def test_nested_settings_become_dotted_names():
    nested = {"SOLVER": {"BASE_LR": 0.1, "AMP": {"ENABLED": True}}, "SEED": 7}
    assert run_stamp.flatten(nested) == {
        "SOLVER.BASE_LR": "0.1",
        "SOLVER.AMP.ENABLED": "True",
        "SEED": "7",
    }
