import math

from kmax_deeplab.visualize.report.scores import format_scores, headline, read_scores
from kmax_deeplab.visualize.report.sections import quality_section
from tests.pages import Page


def results():
    groups = {f"{m}{suffix}": 50.0 for m in ("PQ", "SQ", "RQ") for suffix in ("", "_th", "_st")}
    sky = {"PQ-sky": 61.26, "SQ-sky": 80.0, "RQ-sky": 76.0}
    return groups | sky | {"PQ-cat": math.nan, "SQ-cat": math.nan, "RQ-cat": math.nan}


def are_nan(values):
    return [math.isnan(value) for value in values]


def test_groups_come_first_and_absent_classes_have_no_values(categories):
    scores = {score.name: score.values for score in read_scores(results(), categories)}
    assert list(scores) == ["all", "things", "stuff", "sky", "cat", "<dog>"]
    assert scores["sky"] == (61.26, 80.0, 76.0)
    assert all(are_nan(scores["cat"]))
    assert all(are_nan(scores["<dog>"]))


def test_the_text_table_aligns_its_columns(categories):
    lines = format_scores(read_scores(results(), categories)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[4].split() == ["sky", "61.3", "80.0", "76.0"]
    assert lines[5].split() == ["cat", "–", "–", "–"]


def test_class_names_are_escaped(categories):
    assert "&lt;dog&gt;" in quality_section(read_scores(results(), categories), None)


def test_the_table_has_the_numbers_exact_and_shows_them_rounded(categories):
    html = quality_section(read_scores(results(), categories), None)
    (rows,) = Page(html).tables["quality"]
    assert rows["sky"][:3] == [61.26, 80.0, 76.0]
    assert rows["cat"][:3] == [None, None, None]
    assert ">61.3</td>" in html


def test_the_head_says_what_another_run_gained(categories):
    scores = read_scores(results(), categories)
    better = read_scores(results() | {"PQ_th": 62.5}, categories)
    html = headline(scores, better, "a < b")
    assert 'a &lt; b: 62.5 <i class="up">+12.5</i>' in html
    assert 'a &lt; b: 50.0 <i class="">0.0</i>' in html
