import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.cvat_shapes import draw_mask
from kmax_deeplab.data.convert.from_cvat import find_cvat
from kmax_deeplab.data.convert.stacking import stack

LABELS = """
<label><name>road</name><color>#2080c0</color><type>polygon</type></label>
<label><name>car</name><color>#ff0010</color><type>any</type></label>
<label><name>body</name><type>skeleton</type></label>
<label><name>1</name><type>points</type><parent>body</parent></label>
"""
HALF = '<polygon label="road" points="0.00,4.00;10.00,4.00;10.00,8.00;0.00,8.00" z_order="0"/>'
CORNER = (
    '<mask label="car" rle="1, 2, 1, 2" left="2" top="3" width="3" height="2" z_order="{}"'
    "{}></mask>"
)
"""Pixels 3 and 4 of row 3, and 3 and 4 of row 4."""


@pytest.fixture
def find(tmp_path):
    """A function that finds images of 8 x 10 pixels, a.png and b.png, with these shapes."""
    (tmp_path / "images" / "set").mkdir(parents=True)
    for name in ("a.png", "set/b.png"):
        Image.new("RGB", (10, 8)).save(tmp_path / "images" / name)

    def found(*shapes, attributes='name="a.png" width="10" height="8"', more=""):
        image = f'<image id="0" {attributes}>{"".join(shapes)}</image>'
        write_xml(tmp_path / "annotations.xml", image + more)
        return find_cvat(tmp_path, tmp_path / "images")

    return found


def write_xml(path, content, labels=LABELS):
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    path.write_text(f'<?xml version="1.0"?><annotations>{meta}{content}</annotations>')


def draw(source):
    return source.draw(source.images[0])


def drawn(source, things=("car",)):
    labels = draw(source)
    categories = source.categories.to_json()
    rows = [{**row, "isthing": int(row["name"] in things)} for row in categories]
    return stack(labels, source.categories.from_json(rows)).segment_map


def test_polygons_masks_and_ellipses_become_regions_in_the_order_of_labels(find):
    ellipse = '<ellipse label="car" cx="5.00" cy="2.00" rx="2.00" ry="1.00"/>'
    source = find(HALF, CORNER.format(0, ""), ellipse)
    assert list(source.categories.rows()) == [(1, "road", True), (2, "car", True)]
    assert source.categories.colors == ((32, 128, 192), (255, 0, 16))
    truth = np.zeros((8, 10), int)
    truth[4:] = 1
    truth[3, 3:5] = truth[4, 3:5] = 2
    truth[1:3, 3:7] = 3
    assert (drawn(source) == truth).all()
    assert (source.images[0].image_id, source.images[0].file_name) == ("a", "a.png")


def test_the_mask_of_the_documentation_is_read():
    rle = (
        "3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, "
        "7, 5, 3"
    )
    values = {"rle": rle, "left": "7", "top": "8", "width": "13", "height": "15"}
    mask = draw_mask(values, (30, 40))
    assert mask.sum() == sum(map(int, rle.split(", ")[1::2]))
    assert mask[8].nonzero()[0].tolist() == [10, 11, 12, 13, 14]
    assert mask[22].nonzero()[0].tolist() == [12, 13, 14, 15, 16]


@pytest.mark.parametrize(("layer", "owner"), [(0, 2), (1, 1)])
def test_a_higher_layer_is_on_top_whatever_the_sizes(find, layer, owner):
    large = HALF.replace("road", "car").replace('z_order="0"', f'z_order="{layer}"')
    source = find(large, CORNER.format(0, ""))
    assert drawn(source)[4, 4] == owner
    assert draw(source).notes == (
        {"Images with layers (z_order), which count before sizes": 1} if layer else {}
    )


def test_shapes_of_a_label_in_a_group_are_one_object(find):
    other = '<polygon label="car" points="6,0;9,0;9,2;6,2" group_id="4"/>'
    stranger = other.replace("car", "road")
    source = find(CORNER.format(0, ' group_id="4"'), other, stranger, HALF, HALF)
    assert [int(one.mask.sum()) for one in draw(source).regions] == [4 + 6, 6, 40, 40]
    assert draw(source).notes == {"Shapes that join another one of their group": 1}


def test_a_shape_with_the_attribute_is_crowd_is_one(find):
    crowd = HALF.replace("/>", '><attribute name="is_crowd">true</attribute></polygon>')
    assert [one.iscrowd for one in draw(find(crowd, HALF)).regions] == [True, False]


def test_what_outlines_no_object_is_dropped_and_counted(find):
    shapes = [
        '<box label="car" xtl="1" ytl="1" xbr="3" ybr="3"/>',
        '<polyline label="car" points="1,1;3,3"/>',
        '<skeleton label="body"><points label="1" points="1,1"/></skeleton>',
        '<tag label="good"/>',
        '<polygon label="car" points="1,1;3,3"/>',
    ]
    assert draw(find(*shapes)).dropped == {
        "box, which outlines no object": 1,
        "polyline, which outlines no object": 1,
        "skeleton, which outlines no object": 1,
        "tag, which outlines no object": 1,
        "polygon without a pixel": 1,
    }


def test_subsets_of_a_project_are_parts(find):
    names = ('name="a.png" subset="Train"', 'name="b.png" subset="set"')
    size = 'width="10" height="8"'
    source = find(attributes=f"{names[0]} {size}", more=f"<image {names[1]} {size}/>")
    assert [(one.file_name, one.part) for one in source.images] == [
        ("a.png", "train"),
        ("set/b.png", "set"),
    ]
    assert find(attributes=f"{names[0]} {size}").images[0].part == ""


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        (HALF.replace("10.00,4.00", "10.00"), r"polygon 0 is damaged"),
        (HALF.replace("points", "dots"), "polygon 0 is damaged: 'points'"),
        (CORNER.format(0, "").replace("1, 2, 1", "1, 2"), "cover 5 pixels of 6"),
        (CORNER.format(0, "").replace('left="2"', 'left="8"'), "box leaves the image"),
        ('<blob label="car"/>', "blob 0: this kind of shape is unknown"),
    ],
)
def test_damaged_shapes_are_named_when_they_are_drawn(find, shape, complaint):
    with pytest.raises(ValueError, match=rf"annotations\.xml: image 'a\.png'.*{complaint}"):
        draw(find(shape))


def test_an_image_of_another_size_is_named(find):
    source = find(attributes='name="a.png" width="8" height="10"')
    with pytest.raises(ValueError, match=r"\(10, 8\), but .*a\.png has \(8, 10\)"):
        draw(source)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            '<image name="a.png" width="1" height="1"><mask label="car" z_order="x"/></image>',
            r"image 'a\.png', mask 0: its group_id and z_order must be numbers \(.*'x'",
        ),
        ('<image name="c.png" width="1" height="1"/>', r"holds no image 'c\.png'"),
        ('<image name="a.png" width="1"/>', r"image 'a\.png' has no width and height"),
        ('<image name="a.png" width="1" height="1"><polygon label="x"/></image>', "label 'x'"),
        ('<track id="0" label="car"/>', "tracks of a video"),
        ("", "lists no image"),
        ("<image", "no whole XML"),
    ],
)
def test_exports_that_cannot_be_are_named(tmp_path, content, complaint):
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    write_xml(tmp_path / "x.xml", content)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"x\.xml: .*{complaint}"):
        find_cvat(tmp_path / "x.xml", tmp_path)


def test_other_files_than_exports_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"annotations\.xml: this file does not exist"):
        find_cvat(tmp_path, tmp_path)
    write_xml(tmp_path / "x.xml", "", "<label><name>a</name><type>points</type></label>")
    with pytest.raises(ValueError, match=r"x\.xml: has no label for polygons"):
        find_cvat(tmp_path / "x.xml", tmp_path)
    write_xml(tmp_path / "x.xml", "", "<label><color>#zzzzzz</color></label>")
    with pytest.raises(ValueError, match=r"x\.xml: category .* the name must be a text"):
        find_cvat(tmp_path / "x.xml", tmp_path)
    (tmp_path / "x.xml").write_text('<?xml version="1.0" encoding="odd"?><annotations/>')
    with pytest.raises(ValueError, match=r"x\.xml: no whole XML \(unknown encoding"):
        find_cvat(tmp_path / "x.xml", tmp_path)
    (tmp_path / "x.xml").write_text("<annotation/>")
    with pytest.raises(ValueError, match="begins with <annotation>"):
        find_cvat(tmp_path / "x.xml", tmp_path)
