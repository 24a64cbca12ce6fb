"""Reads frames of video files and streams, and writes videos, with OpenCV."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlparse

import cv2
import numpy as np

from flood_seg.errors import ImageError, OutputError
from flood_seg.imaging.decode import silence_opencv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The codec that OpenCV's wheels write in each container; browsers play .webm alone, H.264 is in none of the wheels.
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".webm": "VP90", ".avi": "MJPG"}
SUFFIXES = (*CODECS, ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts")
STREAMS = ("rtsp", "rtsps", "rtmp", "udp", "tcp")
FALLBACK_FPS = 25.0  # of a stream that does not state its rate


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        number: from 0, of all frames of the source.
        seconds: from the start of the source.
        image: uint8 [H, W, 3] RGB.
    """

    number: int
    seconds: float
    image: np.ndarray


def is_stream(source: str) -> bool:
    """Whether a source is the address of a live stream."""
    return urlparse(source).scheme.lower() in STREAMS


def is_video(source: str) -> bool:
    """Whether a source is the name of a video file, or the address of a stream or of a video on a web server."""
    address = urlparse(source)
    path = address.path if address.scheme.lower() in ("http", "https") else source
    return is_stream(source) or path.lower().endswith((*SUFFIXES, ".m3u8"))


class VideoReader:
    """An open video.

    Attributes:
        size: height and width in pixels.
        fps: frames per second.
        count: number of frames; None where the source does not know, as a stream.
    """

    def __init__(self, source: str) -> None:
        """Opens a file or a stream.

        Raises:
            ImageError: it is missing, damaged or not a video, or the stream does not respond.
        """
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong is said in one line of ours
        self._source = source
        silence_opencv()
        self._capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            if is_stream(source) or "://" in source:
                raise ImageError(f"{source}: does not respond with a video; check the address and the network")
            raise ImageError(f"{source}: cannot be opened as a video; it is missing, damaged or of an unknown codec")
        fps, count = self._capture.get(cv2.CAP_PROP_FPS), int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.fps = fps if np.isfinite(fps) and 0 < fps <= 1000 else FALLBACK_FPS
        self.count = count if count > 0 and not is_stream(source) else None
        self.size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )

    def frames(self, stride: int = 1, limit: int | None = None) -> Iterator[Frame]:
        """Yields each `stride`-th frame, at most `limit` of them; skipped frames are not decoded to images."""
        started, number, taken = time.monotonic(), 0, 0
        while (limit is None or taken < limit) and self._capture.grab():
            if number % stride == 0:
                seconds = time.monotonic() - started if self.count is None else number / self.fps
                done, image = self._capture.retrieve()
                if not done:
                    break
                taken += 1
                yield Frame(number, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            number += 1
        self.read = number

    def close(self) -> None:
        """Releases the file or the connection."""
        self._capture.release()


class VideoWriter:
    """A video that is being written."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        """Opens a file for frames of `size`, height and width in pixels.

        Raises:
            OutputError: it cannot be written, or its suffix is not in `CODECS`.
        """
        code = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        silence_opencv()
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (size[1], size[0]))
        if not self._writer.isOpened():
            raise OutputError(f"{path}: a video of {size[1]}×{size[0]} cannot be written here; give an .avi")

    def write(self, image: np.ndarray) -> None:
        """Appends a frame, uint8 [H, W, 3] RGB."""
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Completes the file."""
        self._writer.release()
