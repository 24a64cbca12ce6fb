"""The classes of a data set: their names, and the mask values or colours that encode them.

No NumPy here: a configuration is checked with it before anything is imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Color = tuple[int, int, int]
Value = int | Color

IGNORED = 255  # the class index of pixels that count neither in loss nor in metrics
IGNORE = "ignore"  # their name in labels
BACKGROUND = "background"
MAX_CLASSES = 255

# Distinguishable with colour blindness: Okabe and Ito 2008, https://jfly.uni-koeln.de/color/
PALETTE = ("#1e90ff", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#0072b2", "#56b4e9")


@dataclass(frozen=True)
class Classes:
    """The meaning of the values in the masks of a data set.

    Attributes:
        names: class names; class 0 is the background if there is one.
        values: mask values of each class: integers, or (red, green, blue); empty: masks of two classes in any of the
            forms that `read_binary_mask` supports.
        ignored: mask values of pixels that are excluded from losses and metrics.
        colors: for drawing, `#rrggbb` per class.
        unlisted: whether a value that is not named here is an error (`fail`) or ignored (`ignore`).
        implied: the value among `values` that is the background only because nothing says otherwise; a file that
            declares it as its nodata value contradicts that.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...] = ()
    ignored: tuple[Value, ...] = ()
    colors: tuple[str, ...] = ()
    unlisted: Literal["fail", "ignore"] = "fail"
    implied: Value | None = field(default=0, compare=False)

    @property
    def by_color(self) -> bool:
        """Whether colours encode the classes."""
        return any(isinstance(value, tuple) for values in (*self.values, self.ignored) for value in values)

    @property
    def label_values(self) -> tuple[int, ...]:
        """The integer that encodes each class in a predicted mask: a PNG, which has no values below 0."""
        if not self.values:
            return (0, 255)
        values = self.first_values
        return values if all(0 <= value < 65536 for value in values) else tuple(range(len(self.names)))

    @property
    def first_values(self) -> tuple[int, ...]:
        """The first value of each class, that labels are written with; its index where colours stand for classes."""
        if not self.values:
            return (0, 255)
        if self.by_color:
            return tuple(range(len(self.names)))
        return tuple(value for (value, *_) in self.values if isinstance(value, int))

    def unused_value(self, low: int = 0, high: int = 65535) -> int:
        """Returns an unused integer from `low` to `high` for a file's nodata value, 255 where possible."""
        named = [*self.ignored, *(value for values in self.values for value in values)]
        known = {0, *self.first_values, *(value if isinstance(value, int) else value[0] for value in named)}
        candidates = (*range(255, 0, -1), *range(256, 65536), *range(-1, -129, -1))
        free: int = next(value for value in candidates if low <= value <= high and value not in known)
        return free

    def to_labels(self) -> dict[str, str]:
        """Returns what `parse_classes` reads as `labels`: the name of each value."""
        named = {_text(value): name for name, values in zip(self.names, self.values, strict=False) for value in values}
        return named | {_text(value): IGNORE for value in self.ignored}


def parse_classes(
    task: str,
    names: Sequence[str],
    labels: Mapping[Any, str] | None = None,
    max_label: int | None = None,
    ignore_index: int | None = None,
    colors: Mapping[str, str] | None = None,
    unlisted: str = "fail",
) -> Classes:
    """Reads the classes that a configuration names.

    Args:
        task: `binary` or `multiclass`.
        names: of the classes, background first; used where `labels` does not name them.
        labels: the class of each value: an integer, `#rrggbb` or `r g b`; several values may be one class, `ignore` is
            none. Where 0 (or black) is not named, it is the background.
        max_label: a shorthand where there are no labels. Binary: the foreground's value; multiclass: the classes are 0
            to max_label.
        ignore_index: a value of pixels that are excluded from losses and metrics.
        colors: `#rrggbb` of each class name, for drawing.
        unlisted: see `Classes`.

    Raises:
        ConfigError: labels and task contradict each other, an invalid mask value or colour, too many classes.
    """
    if labels:
        named = {_parse_value(value): str(name) for value, name in labels.items()}
        given = set(named)
    else:
        if len(set(names)) < len(names):
            raise ConfigError(f"datamodule.class_names: a name occurs twice in {', '.join(names)}")
        named = _without_labels(task, names, max_label, ignore_index)
        given = set() if task == "binary" else set(named)
    if ignore_index is not None:
        if named.get(ignore_index, IGNORE) != IGNORE:
            raise ConfigError(_ignored_class(task, named[ignore_index], ignore_index, max_label, bool(labels)))
        named[ignore_index] = IGNORE
    grouped = _grouped(named, two_are_all=task == "binary")
    ignored = tuple(grouped.pop(IGNORE, ()))
    if not grouped:  # masks of two classes in whatever form
        _check_count(task, list(names))
        return Classes(tuple(names), colors=_colors(list(names), colors), unlisted="fail")
    _check_count(task, list(grouped))
    values = tuple(tuple(values) for values in grouped.values())
    zeros: tuple[Value, ...] = (0, (0, 0, 0))
    black = next((value for value in zeros if value in values[0] and value not in given), None)
    shades = _colors(list(grouped), colors)
    classes = Classes(tuple(grouped), values, ignored, shades, unlisted, black)  # type: ignore[arg-type]
    _check_values(classes)
    return classes


def _ignored_class(task: str, name: str, value: int, max_label: int | None, by_labels: bool) -> str:
    """Returns why a value that encodes a class cannot be ignored."""
    key = f"datamodule.ignore_index={value}"
    if by_labels:
        return f"{key}: is class {name!r} in datamodule.labels too; name it in one of them alone"
    if task == "multiclass" and value == max_label:
        return f"{key}: is the last of the classes 0 to {value}; set datamodule.max_label={value - 1}"
    listed = "datamodule.max_label" if max_label is not None else "datamodule.class_names"
    return f"{key}: is class {name!r} by {listed} too; ignore another value, or name the classes in datamodule.labels"


def _without_labels(
    task: str, names: Sequence[str], max_label: int | None, ignore_index: int | None
) -> dict[Value, str]:
    if task == "binary":
        if max_label is None and ignore_index is None:
            return {}
        _check_count(task, list(names))
        # 255 is either water or ignored; where it is ignored, or values below 0 are, 1 is water.
        from_one = ignore_index is not None and (ignore_index == 255 or ignore_index < 0)
        return {0: names[0], (max_label or (1 if from_one else 255)): names[-1]}
    if max_label is not None and len(names) != max_label + 1:
        names = [BACKGROUND, *(f"class {value}" for value in range(1, max_label + 1))]
    return dict(enumerate(names))


def _grouped(named: Mapping[Value, str], *, two_are_all: bool) -> dict[str, list[Value]]:
    """Returns the values of each name, background first; adds a background where nothing says what 0 is."""
    grouped: dict[str, list[Value]] = {}
    for value, name in named.items():
        grouped.setdefault(name, []).append(value)
    black: Value = (0, 0, 0) if any(isinstance(value, tuple) for value in named) else 0
    classes = [name for name in grouped if name != IGNORE]
    if classes and black not in named and BACKGROUND not in grouped and not (two_are_all and len(classes) == 2):
        grouped[BACKGROUND] = [black]
    if BACKGROUND in grouped:
        grouped = {BACKGROUND: grouped.pop(BACKGROUND)} | grouped
    return grouped


def _check_count(task: str, names: list[str]) -> None:
    listed = ", ".join(names)
    if task == "binary" and len(names) != 2:
        raise ConfigError(f"task=binary requires 2 classes, not {len(names)} ({listed}); set task=multiclass")
    if len(names) < 2:
        raise ConfigError(f"datamodule.labels: {len(names)} class ({listed}); name two or more")
    if len(names) > MAX_CLASSES:
        raise ConfigError(f"datamodule.labels: {len(names)} classes; at most {MAX_CLASSES}")


def _check_values(classes: Classes) -> None:
    given = [value for values in (*classes.values, classes.ignored) for value in values]
    if len({isinstance(value, tuple) for value in given}) > 1:
        raise ConfigError("datamodule.labels: integers and colours together; give all values in one of the two forms")


def _parse_value(value: Any) -> Value:
    """Reads 64, '64', -1, '#ff8000' or '255 128 0'."""
    text = str(value).strip()
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
    parts = re.split(r"[\s,]+", text.strip("()[]"))
    if len(parts) == 3 and all(re.fullmatch(r"\d+", part) and int(part) < 256 for part in parts):
        red, green, blue = (int(part) for part in parts)
        return red, green, blue
    raise ConfigError(f"datamodule.labels: {text!r} is not a mask value; give an integer, '#rrggbb' or 'r g b'")


def _text(value: Value) -> str:
    return str(value) if isinstance(value, int) else to_hex(value)


def to_hex(color: Color) -> str:
    """Returns `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def to_rgb(color: str) -> Color:
    """Reads `#rrggbb`."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def default_colors(count: int) -> tuple[str, ...]:
    """Returns one colour per class, black for the background; the palette repeats."""
    return ("#000000", *(PALETTE[index % len(PALETTE)] for index in range(count - 1)))


def _colors(names: list[str], given: Mapping[str, str] | None) -> tuple[str, ...]:
    chosen = dict(zip(names, default_colors(len(names)), strict=True))
    for name, color in (given or {}).items():
        if name not in chosen:
            raise ConfigError(f"datamodule.colors: there is no class {name!r} among {', '.join(names)}")
        try:
            value = _parse_value(color)
        except ConfigError:
            value = 0
        if isinstance(value, int):
            raise ConfigError(f"datamodule.colors.{name}={color}: is not a color; give '#rrggbb' or 'r g b'")
        chosen[name] = to_hex(value)
    return tuple(chosen.values())
