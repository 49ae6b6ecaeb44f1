import numpy as np
import pytest

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.visualize.overlays import (
    OPACITY,
    VOID_BRIGHTNESS,
    boundaries,
    draw_panoptic,
    magnify,
    outline_color,
    segment_colors,
)


def segment(segment_id, category_id, isthing):
    return {"id": segment_id, "category_id": category_id, "isthing": isthing}


def two_segments():
    panoptic = np.zeros((40, 60), dtype=np.int32)
    panoptic[:20, :30], panoptic[20:, :30] = 1, 2
    return panoptic, [segment(1, 0, False), segment(2, 1, True)]


def test_a_boundary_pixel_differs_from_its_right_or_lower_neighbour():
    edge = boundaries(np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]]))
    assert edge.tolist() == [[False, True, False], [True, True, True], [False, False, False]]


def test_stuff_has_the_class_colour_and_instances_of_a_thing_differ(categories):
    infos = [segment(1, 0, False), *(segment(i, 1, True) for i in range(2, 6))]
    colors = segment_colors(infos, categories)
    assert colors[1] == (0, 0, 200)
    assert colors[2] == (200, 0, 0)
    assert len(set(colors.values())) == 5
    assert colors == segment_colors(infos, categories)


def test_segments_are_tinted_and_void_is_dimmed(image, categories):
    panoptic, infos = two_segments()
    picture = draw_panoptic(image, panoptic, infos, categories)
    blue = (1 - OPACITY) * 100 + OPACITY * np.array([0, 0, 200])
    assert picture[1, 1].tolist() == blue.round().tolist()
    assert picture[30, 50].tolist() == [round(100 * VOID_BRIGHTNESS)] * 3
    assert (image == 100).all()


def test_ids_that_no_segment_explains_are_void(image, categories):
    panoptic, _ = two_segments()
    picture = draw_panoptic(image, panoptic, [], categories)
    assert picture[2, 2].tolist() == picture[30, 50].tolist()


def test_a_name_is_written_only_where_it_fits(categories):
    image = np.full((300, 300, 3), 100, dtype=np.uint8)
    panoptic = np.zeros((300, 300), dtype=np.int64)
    panoptic[50:250, 50:250], panoptic[:4, :4] = 1, 2
    picture = draw_panoptic(image, panoptic, [segment(1, 1, True), segment(2, 1, True)], categories)
    assert len(np.unique(picture[60:240, 60:240].reshape(-1, 3), axis=0)) > 2
    assert len(np.unique(picture[:3, :3].reshape(-1, 3), axis=0)) == 2  # outline and inside


def test_a_map_of_another_size_is_refused(image, categories):
    with pytest.raises(ValueError, match="same"):
        draw_panoptic(image, np.zeros((40, 61), dtype=int), [], categories)


def test_an_unknown_class_is_refused_by_number(image, categories):
    panoptic, _ = two_segments()
    with pytest.raises(KeyError, match=r"category_id 3, .*classes 0 to 2"):
        draw_panoptic(image, panoptic, [segment(1, 3, True)], categories)


def test_magnifying_multiplies_the_size(image):
    assert magnify(image, 3).shape == (120, 180, 3)


def instances(panoptic, count):
    return panoptic, [segment(i, 1, True) for i in range(1, count + 1)]


def draw(panoptic, infos, categories):
    return draw_panoptic(np.full((*panoptic.shape, 3), 100, np.uint8), panoptic, infos, categories)


def test_two_pieces_of_one_instance_do_not_look_like_two_instances(categories):
    apart = np.zeros((120, 240), dtype=int)
    apart[20:100, 20:100] = apart[20:100, 140:220] = 1
    split = np.where(np.arange(240) > 120, 2, 1) * (apart > 0)
    one = draw(*instances(apart, 1), categories)
    two = draw(*instances(split, 2), categories)
    assert (one[:, :120] == two[:, :120]).all()
    assert one[20, 180].tolist() == one[20, 60].tolist() == list(outline_color(0))
    assert two[20, 180].tolist() == list(outline_color(1)) != two[20, 60].tolist()


def test_a_merge_of_touching_instances_shows(categories):
    merged = np.zeros((100, 200), dtype=int)
    merged[20:80, 20:180] = 1
    split = np.where(np.arange(200) >= 100, 2, 1) * (merged > 0)
    cases = (instances(merged, 1), instances(split, 2))
    seam = [draw(*case, categories)[25:75, 98:102] for case in cases]
    assert len(np.unique(seam[0][0], axis=0)) == 1
    assert list(outline_color(1)) in seam[1][0].tolist()


def test_neighbouring_outlines_differ_for_hundreds_of_instances():
    colors = np.array([outline_color(rank) for rank in range(400)], dtype=int)
    assert (np.abs(np.diff(colors, axis=0)).sum(1) > 150).all()
    assert len(np.unique(colors, axis=0)) > 300


def test_names_of_any_kind_are_drawn(image):
    names = ("two\nlines", "x" * 400, "日本 <b>&", "")
    listed = [{"id": i, "name": name, "isthing": 1} for i, name in enumerate(names)]
    panoptic = np.arange(4).repeat(150)[None].repeat(200, 0) + 1
    infos = [segment(i + 1, i, True) for i in range(4)]
    assert draw(panoptic, infos, Categories.from_json(listed)).shape == (200, 600, 3)


def test_a_thing_that_has_a_number_keeps_its_colours(categories):
    panoptic, infos = instances(np.repeat([[1, 2]], 60, 0).repeat(60, 1), 2)
    numbered = [{**infos[1], "number": 2}, {**infos[0], "number": 1}]
    assert (draw(panoptic, infos, categories) == draw(panoptic, numbered, categories)).all()
    turned = [{**infos[0], "number": 2}, {**infos[1], "number": 1}]
    assert (draw(panoptic, infos, categories) != draw(panoptic, turned, categories)).any()


def test_strips_and_a_coarser_grid_paint_and_name_large_images_alike(categories, monkeypatch):
    panoptic = np.zeros((150, 200), dtype=int)
    panoptic[10:140, 20:180] = 1
    before = draw(*instances(panoptic, 1), categories)
    monkeypatch.setattr("kmax_deeplab.visualize.overlays.ROWS", 7)
    assert (draw(*instances(panoptic, 1), categories) == before).all()
    monkeypatch.setattr("kmax_deeplab.visualize.overlays.LARGE_MASK", 1000)
    coarser = draw(*instances(panoptic, 1), categories)
    assert 0 < (coarser != before).any(2).mean() < 0.2  # the name is nearly where it was
