import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import choose_split, find_samples
from flood_seg.errors import DataError, UsageError
from flood_seg.synthetic.scene import draw_scene
from flood_seg.workshop.split_tool import assign
from tests.workshop.tools import split


def config_of(folder: Path, *options: str) -> DataToolsConfig:
    return compose("data", [f"datamodule.data_dir='{folder}'", *options], DataToolsConfig)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Twenty photos; five of them come again, flipped and compressed."""
    root = tmp_path_factory.mktemp("scenes")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for number in range(20):
        image, mask = draw_scene(number, 96, 96)
        Image.fromarray(image).save(root / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")
        if number % 4 == 0:
            flipped = Image.fromarray(np.ascontiguousarray(image[:, ::-1]))
            flipped.save(root / "images" / f"{number:02d}b.jpg", quality=80)
            Image.fromarray(np.ascontiguousarray(mask[:, ::-1])).save(root / "masks" / f"{number:02d}b.png")
    return root


def parts_of(split) -> dict[str, str]:
    return {stem: part for part in ("train", "val", "test") for stem in getattr(split, part)}


def test_near_duplicates_are_in_one_part_and_training_takes_the_file(scenes, tmp_path):
    (found,) = split(config_of(scenes, "split.test=0.2"), tmp_path / "split.txt")
    parts = parts_of(found)
    assert len(parts) == 25 and [len(found.train), len(found.val), len(found.test)] == [15, 5, 5]
    assert all(parts[stem] == parts[stem.removesuffix("b")] for stem in parts)
    config = config_of(scenes, f"datamodule.split_file='{tmp_path}/split.txt'").datamodule
    assert choose_split(config, find_samples(config)[0], 0) == found


def test_another_seed_is_another_split_and_the_same_is_the_same(scenes, tmp_path):
    drawn = [split(config_of(scenes, f"seed={seed}"), tmp_path / "s.txt")[0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_each_fold_is_the_validation_part_once(scenes, tmp_path):
    folds = split(config_of(scenes, "split.folds=4"), tmp_path / "folds")
    stems = sorted(stem for fold in folds for stem in fold.val)
    assert stems == sorted({*folds[0].train, *folds[0].val}) and len(stems) == 25
    assert all(not {*fold.train} & {*fold.val} for fold in folds) and {len(fold.val) for fold in folds} <= {6, 7}
    assert sorted(path.name for path in (tmp_path / "folds").iterdir()) == [f"fold_{n}.txt" for n in range(4)]


def test_stratified_parts_have_about_the_same_classes():
    random = np.random.default_rng(0)
    water = random.beta(0.4, 0.8, 200)
    weights = {str(n): np.array([1.0, 1 - share, share]) for n, share in enumerate(water)}
    groups = [[str(n)] for n in range(200)]

    def spread(weights):
        parts = assign(groups, weights, [0.7, 0.2, 0.1], seed=3)
        assert [len(part) for part in parts] == pytest.approx([140, 40, 20], abs=2)
        return np.ptp([np.mean([water[int(stem)] for stem in part]) for part in parts])

    assert spread(weights) < 0.01 < spread({stem: weight[:1] for stem, weight in weights.items()})


def test_the_order_of_the_groups_does_not_matter():
    groups = [[f"{n}", f"{n}x"] if n % 3 else [f"{n}"] for n in range(40)]
    weights = {stem: np.ones(1) for group in groups for stem in group}
    parts = [assign(order, weights, [0.8, 0.2, 0.0], 0) for order in (groups, groups[::-1])]
    assert [sorted(part) for part in parts[0]] == [sorted(part) for part in parts[1]] and parts[0][2] == []


def test_tiles_of_a_scene_stay_together_by_their_names(tmp_path):
    for number in range(24):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            picture = np.random.default_rng(number).integers(0, 2, (8, 8), np.uint8) * 255
            Image.fromarray(picture).save(tmp_path / kind / f"s{number // 4}_r000000_c{number % 4:06d}.png")
    (found,) = split(config_of(tmp_path, "split.groups=scene"), tmp_path / "split.txt")
    assert not {s[:2] for s in found.train} & {s[:2] for s in found.val} and len(found.val) == 4


def test_groups_come_from_a_table_and_from_blocks_of_the_map(tmp_path):
    for number in range(12):
        for kind, count in (("images", 3), ("masks", 1)):
            (tmp_path / kind).mkdir(exist_ok=True)
            grid = from_origin(500_000 + number * 80, 5_000_000, 10, 10)
            with rasterio.open(
                tmp_path / kind / f"{number:02d}.tif", "w", driver="GTiff", height=8, width=8, count=count,
                dtype="uint8", crs="EPSG:32632", transform=grid,
            ) as out:  # fmt: skip
                out.write(np.random.default_rng(number).integers(0, 2, (count, 8, 8), np.uint8))
    (found,) = split(config_of(tmp_path, "split.groups=none", "split.block=240", "split.val=0.3"), tmp_path / "b.txt")
    block = {f"{n:02d}": int((500_000 + n * 80 + 45) // 240) for n in range(12)}
    assert not {block[s] for s in found.train} & {block[s] for s in found.val}
    lines = [f"{n:02d},{'abc'[n % 3]}\n" for n in range(12)]
    (tmp_path / "events.csv").write_text("".join(["stem,event\n", *lines]))
    config = config_of(tmp_path, f"split.groups='{tmp_path}/events.csv:event'", "split.val=0.3")
    (found,) = split(config, tmp_path / "c.txt")
    assert len({int(s) % 3 for s in found.val}) == 1 and len(found.val) == 4


def test_what_cannot_be_divided_is_one_line(scenes, tmp_path):
    with pytest.raises(UsageError, match=r"split\.groups=events: give alike, scene"):
        split(config_of(scenes, "split.groups=events"), tmp_path / "s.txt")
    few = tmp_path / "few"
    for kind in ("images", "masks"):
        (few / kind).mkdir(parents=True)
        shutil.copy(scenes / kind / "01.png", few / kind)
    with pytest.raises(DataError, match="leave part 2 of 2 empty"):
        split(config_of(few), tmp_path / "s.txt")
    assert not (tmp_path / "s.txt").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"tiles": 5}', '{"tiles": [{"tile": "a"}]}', '{"pages": []}'])
def test_an_index_of_something_else_is_passed_over(tmp_path, text):
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for name in "abcd":
            Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "set" / kind / f"{name}.png")
    (tmp_path / "set" / "index.json").write_text(text)
    split(config_of(tmp_path / "set", "split.groups=scene"), tmp_path / "split.txt")
    assert (tmp_path / "split.txt").is_file()
