"""Video files through `flood-seg infer`: overlay video, table and plot."""

import csv

import cv2
import numpy as np
import pytest

from flood_seg.cli import main as cli
from flood_seg.errors import ImageError, ModelError, OutputError, UsageError
from flood_seg.imaging.video import VideoReader, is_video
from flood_seg.verbs.infer import infer
from tests.conftest import make_spec
from tests.inference.conftest import red_spec, write_model

SIZE = (48, 64)


@pytest.fixture
def clip(tmp_path):
    """Ten frames; the red part, which the model takes for water, grows by a tenth each."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, SIZE[::-1])
    for number in range(10):
        frame = np.zeros((*SIZE, 3), np.uint8)
        frame[:, : round(SIZE[1] * number / 10), 2] = 255  # BGR
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "red.onnx", red_spec(*SIZE))


def test_a_video_becomes_an_overlay_video_a_table_and_a_plot(clip, model, capsys):
    infer(onnx=model, image=str(clip))
    rows = list(csv.DictReader(clip.with_name("clip_overlay.csv").open()))
    assert [int(row["frame"]) for row in rows] == list(range(10))
    assert [float(row["seconds"]) for row in rows] == pytest.approx([number / 10 for number in range(10)])
    assert rows[0]["water_share"] == "", "a black frame has no mask"
    shares = [float(row["water_share"]) for row in rows[1:]]
    assert shares == pytest.approx([number / 10 for number in range(1, 10)], abs=0.05)
    reader = VideoReader(str(clip.with_name("clip_overlay.mp4")))
    frames = list(reader.frames())
    assert len(frames) == 10 and reader.size == SIZE and reader.fps == pytest.approx(10)
    wet, dry = frames[5].image[:, 5].mean(axis=0), frames[5].image[:, -5].mean(axis=0)
    assert wet[2] > 60 and dry.max() < 40, "tinted in blue where the frame is red, and nowhere else"
    assert clip.with_name("clip_overlay.png").stat().st_size > 5000
    said = capsys.readouterr()
    assert (
        "10 frames" in said.out and "1 of 10 frames have no mask, the first is frame 0: the image is blank" in said.err
    )


def test_stride_and_limit_choose_frames_and_keep_the_speed(clip, model, tmp_path):
    infer(["video.stride=3", "video.max_frames=3"], onnx=model, image=str(clip), out=tmp_path / "few.webm")
    rows = list(csv.DictReader((tmp_path / "few.csv").open()))
    assert [int(row["frame"]) for row in rows] == [0, 3, 6]
    assert VideoReader(str(tmp_path / "few.webm")).fps == pytest.approx(10 / 3, rel=0.01)


def test_what_cannot_be_done_is_one_line_and_leaves_nothing(clip, model, tmp_path):
    broken, before = tmp_path / "broken.mp4", sorted(tmp_path.iterdir())
    with pytest.raises(ImageError, match=r"no\.mp4: cannot be opened as a video"):
        infer(onnx=model, image=str(tmp_path / "no.mp4"))
    with pytest.raises(OutputError, match="a video is written there; give a name that ends in"):
        infer(onnx=model, image=str(clip), out=tmp_path / "mask.png")
    with pytest.raises(UsageError, match="--json: a video's shares are written as CSV"):
        infer(onnx=model, image=str(clip), json=tmp_path / "a.json")
    with pytest.raises(UsageError, match="is the video itself"):
        infer(onnx=model, image=str(clip), out=clip)
    assert sorted(tmp_path.iterdir()) == before
    broken.write_bytes(clip.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"broken\.mp4: (cannot be opened|no frame)"):
        infer(onnx=model, image=str(broken))
    other = make_spec(*SIZE, bands=("nir", "red", "green"))
    with pytest.raises(ModelError, match="requires the bands nir, red, green; a video has red, green and blue"):
        infer(onnx=write_model(tmp_path / "other.onnx", other), image=str(clip))


def test_ctrl_c_keeps_what_was_segmented(clip, model, monkeypatch, capsys):
    from flood_seg.verbs import infer_video

    def interrupted(items, label, total):
        for number, item in enumerate(items):
            if number == 4:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(infer_video, "track", interrupted)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["infer", "--onnx", str(model), "--image", str(clip)])
    assert stopped.value.code == 130
    assert len(list(csv.DictReader(clip.with_name("clip_overlay.csv").open()))) == 4
    assert len(list(VideoReader(str(clip.with_name("clip_overlay.mp4"))).frames())) == 4


@pytest.mark.parametrize(
    ("source", "expected"),
    [("a.mp4", True), ("A.MOV", True), ("rtsp://camera/1", True), ("https://host/clip.mp4?key=1", True),
     ("a.jpg", False), ("folder", False), ("photos/*.png", False), ("https://host/a.tif", False)],
)  # fmt: skip
def test_what_a_video_is(source, expected):
    assert is_video(source) is expected
