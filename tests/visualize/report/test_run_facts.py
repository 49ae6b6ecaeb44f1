"""What a run says about itself is read from its log."""

from kmax_deeplab.visualize.report.run_facts import facts_of_page, facts_of_training

LOG = """\
[11/27 22:02:22] run_log INFO: Python 3.11.7, PyTorch 2; device cpu (x86), process 1 of 1 (pid 9)
[11/27 22:02:22] d2.run_log INFO: Command line: --config-file a.yaml SEED 7
[11/27 22:02:23] d2.trainer INFO: Seed of the run: 7. Effective batch 4
[11/27 22:07:47] hooks INFO: Total training time: 0:05:18 (0:00:32 on hooks)
[11/28 09:00:00] d2.run_log INFO: Command line: --resume
[11/28 10:00:00] hooks INFO: Total training time: 1 day, 1:00:00 (0:00:32 on hooks)
"""


def test_a_training_tells_when_how_long_and_by_which_command(tmp_path):
    (tmp_path / "log.txt").write_text(LOG)
    facts = facts_of_training(tmp_path)
    assert facts == {
        "training began": "11/27 22:02:22",
        "training took": "1 day, 1:05:18",
        "seed": "7",
        "training command": "--resume",
        "training machine": "Python 3.11.7, PyTorch 2; device cpu (x86), process 1 of 1",
    }
    (tmp_path / "below").mkdir()
    assert facts_of_training(tmp_path / "below") == facts
    assert facts_of_training(tmp_path / "below" / "nowhere") == {}


def test_a_page_tells_its_command_as_it_can_be_repeated():
    facts = facts_of_page(["tools/report.py", "--title", "two words"])
    assert facts["command"] == "python tools/report.py --title 'two words'"
    assert {"written", "revision", "machine"} <= facts.keys()
