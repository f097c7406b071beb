"""Videos as frames at a steady rate, one after the other: only a few are in memory at a time. No torch."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import MAX_PIXELS, printable
from resnets.errors import InputError
from resnets.files import open_regular, short

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv")
# Of FFmpeg's readers: single files, none of which leads to other files or addresses, as playlists do.
READERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg"
MOST_FPS = 1000.0


class Frame(NamedTuple):
    """A frame, upright, uint8 (H, W, 3), and when it is shown, in seconds from the beginning; or why there is none."""

    seconds: float
    pixels: np.ndarray | None
    error: str = ""


def is_film(path: Any) -> bool:
    """Whether it is the path of a video, by its suffix."""
    return isinstance(path, str | Path) and str(path).lower().endswith(SUFFIXES)


def frames(path: str | Path, fps: float = 1.0) -> Generator[Frame, None, None]:
    """The first frame of each 1/fps seconds. Where the file breaks off, a last one says so.

    Raises:
        InputError: where PyAV is not installed, there is no such file, or not one frame can be read.
    """
    if not (isinstance(fps, int | float) and 0 < fps <= MOST_FPS):
        raise InputError(f"fps={fps}: give frames per second, above 0 and at most {MOST_FPS:g}; 0.1 is one in ten seconds")
    try:
        import av
    except ModuleNotFoundError:
        raise InputError(f"{printable(path)}: videos need PyAV: pip install 'resnets[video]'") from None
    name, due, last = printable(path), 0.0, -1.0
    try:
        with open_regular(path) as file, av.open(file, options={"format_whitelist": READERS}) as container:
            if not container.streams.video:
                raise InputError(f"{name}: no pictures in this file; give a video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start = None
            for frame in container.decode(stream):
                seconds = frame.time if frame.time is not None else last + 1 / float(stream.average_rate or 25)
                start = seconds if start is None else start
                last = seconds - start
                if last + 1e-6 < due:
                    continue
                if frame.width * frame.height > MAX_PIXELS:
                    raise InputError(f"{name}: frames of {frame.width} x {frame.height} pixels are more than {MAX_PIXELS:,}")
                due = (math.floor(last * fps + 1e-6) + 1) / fps
                yield Frame(round(last, 6), upright(frame.to_ndarray(format="rgb24"), frame.rotation))
            stated = _stated_seconds(container, stream)
            if 0 <= last < min(0.9 * stated, stated - 1):
                yield Frame(round(last, 6), None, f"the video breaks off at {last:.1f} of {stated:.1f} s; copy it again")
    except InputError:
        raise
    except (OSError, ValueError, av.error.FFmpegError) as error:
        if last < 0:
            raise InputError(f"{name}: cannot be read as a video ({short(error)}); play it, or convert it to MP4") from None
        yield Frame(round(last, 6), None, f"the video is damaged from {last:.1f} s on ({short(error)}); its rest was left out")
        return
    if last < 0:
        raise InputError(f"{name}: not one frame can be read; play it, or convert it to MP4")


def _stated_seconds(container: Any, stream: Any) -> float:
    """How long the file says that its pictures are; 0 where it does not. A file that is cut off just ends, for FFmpeg."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1e6


def upright(pixels: np.ndarray, degrees: int) -> np.ndarray:
    """Pixels (H, W, C) turned as a player does; `degrees`: counter-clockwise, as PyAV's `rotation`."""
    return np.rot90(pixels, round(degrees / 90)) if degrees % 90 == 0 and degrees % 360 else pixels
