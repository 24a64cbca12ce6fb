import pytest

from flood_seg.classes import parse_classes
from flood_seg.errors import ConfigError

TWO = ("background", "water")


def test_without_labels_a_binary_mask_may_have_any_form():
    classes = parse_classes("binary", TWO)
    assert classes.names == TWO and not classes.values and classes.label_values == (0, 255)


def test_a_label_brings_the_background_along():
    classes = parse_classes("multiclass", TWO, {64: "water", 128: "road", 65: "water"})
    assert classes.names == ("background", "water", "road")
    assert classes.values == ((0,), (64, 65), (128,)) and classes.label_values == (0, 64, 128)


def test_the_background_is_first_whatever_its_value():
    classes = parse_classes("multiclass", TWO, {1: "pet", 2: "background", 3: "outline"})
    assert classes.names == ("background", "pet", "outline") and classes.label_values == (2, 1, 3)


def test_where_0_is_named_nothing_is_added():
    assert parse_classes("multiclass", TWO, {0: "land", 1: "water"}).names == ("land", "water")
    assert parse_classes("multiclass", TWO, {0: "ignore", 1: "land", 2: "water"}).names == ("land", "water")
    assert parse_classes("binary", TWO, {1: "land", 2: "water"}).names == ("land", "water")


def test_colours_in_three_ways_of_writing():
    labels = {"#0000ff": "water", "255 128 0": "road", "(1, 2, 3)": "ignore"}
    classes = parse_classes("multiclass", TWO, labels)
    assert classes.by_color and classes.values == (((0, 0, 0),), ((0, 0, 255),), ((255, 128, 0),))
    assert classes.ignored == ((1, 2, 3),) and classes.label_values == (0, 1, 2)


def test_max_label_and_ignore_index_spare_the_labels():
    assert parse_classes("binary", TWO, max_label=64).values == ((0,), (64,))
    several = parse_classes("multiclass", TWO, max_label=3, ignore_index=255)
    assert several.names == ("background", "class 1", "class 2", "class 3") and several.ignored == (255,)
    assert parse_classes("binary", TWO, ignore_index=255).values == ((0,), (1,))
    assert parse_classes("binary", TWO, ignore_index=7).values == ((0,), (255,))


def test_what_a_model_keeps_of_its_labels_gives_the_same_classes():
    for labels in ({64: "water", 65: "water", 9: "ignore", 3: "road"}, {"#00ff00": "water", "#ffffff": "ignore"}):
        classes = parse_classes("multiclass", TWO, labels)
        assert parse_classes("multiclass", TWO, classes.to_labels()) == classes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {1: "a", 2: "b", 3: "c"}}, "requires 2 classes, not 4 .*task=multiclass"),
        ({"labels": {"blue": "water"}}, "'blue' is not a mask value"),
        ({"labels": {1: "water"}, "ignore_index": 1}, "is class 'water' in datamodule.labels too"),
        ({"labels": {1: "water", "#ffffff": "land"}}, "integers and colours"),
        ({"colors": {"wter": "#ffffff"}}, "no class 'wter'"),
        ({"colors": {"water": "12"}}, "give '#rrggbb'"),
        ({"task": "multiclass", "names": ["a", "a"]}, "occurs twice"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_classes(**({"task": "binary", "names": TWO} | options))
