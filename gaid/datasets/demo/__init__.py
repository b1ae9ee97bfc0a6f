"""The demo: a small world whose truth is known, made as real media files from a seed, with English captions.

What happens in it is in `world`. Beside the clips lie captions.json, truth.json (when each thing is seen and heard; read by tests and
figures, and never put into a store) and, written last, manifest.json: a world with a manifest is complete, one without it
is resumed. Clips are drawn and encoded by processes of their own, `python -m gaid.datasets.demo`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.datasets.demo.grammar import describe
from gaid.datasets.demo.world import SIZES, VERSION, ClipPlan, Mentions, plan_world
from gaid.datasets.types import Caption, Dataset, DatasetSpec, Progress, Video
from gaid.errors import DataInvalid, DataMissing
from gaid.files import write_bytes

__all__ = ["SPEC", "load", "load_truth", "plans_of", "prepare"]

_PROTOCOL = "demo"
# What a manifest without the setting means.
_UNSAID = {"mentions": "heard"}
_SUFFIXES = {"none": "-deaf", "heard": "", "all": "-ears"}


def prepare(
    root: Path,
    progress: Progress | None = None,
    *,
    sizes: tuple[int, int, int] | None = None,
    seed: int | None = None,
    same_times: bool | None = None,
    mentions: Mentions | None = None,
    workers: int = 2,
) -> None:
    """Makes the world under `root`, or the rest of it; does nothing where it is complete.

    `sizes` are clips for training, validation and test, `mentions` says which captions mention sound (`world`); what is None is
    as the world under `root` was begun, or else the default.
    Raises `DataInvalid` where another world than the one asked for lies there.
    """
    root = Path(root)
    asked = {
        "sizes": None if sizes is None else list(sizes), "seed": seed, "same_times": same_times, "mentions": mentions
    }  # fmt: skip
    begun = _read(root / "manifest.json") or _read(root / "begun.json")
    settings = _settle(root, begun, {key: value for key, value in asked.items() if value is not None})
    if (root / "manifest.json").exists():
        return
    (root / "clips").mkdir(parents=True, exist_ok=True)
    _write(root / "begun.json", settings)
    plans = plans_of(settings)
    _write(root / "captions.json", [_described(plan, _mentions(settings)) for plan in plans])
    _write(root / "truth.json", {plan.id: _truth(plan) for plan in plans})
    _make_clips(root, len(plans), workers, progress)
    for left_over in (root / "clips").glob(".*.unfinished.mp4"):
        left_over.unlink(missing_ok=True)
    _write(root / "manifest.json", settings)
    (root / "begun.json").unlink()


def load(root: Path) -> Dataset:
    """Reads the captions of a world that `prepare` has made. Raises `DataMissing` where none, or only a part of one, is there."""
    root = Path(root)
    settings = _read(root / "manifest.json")
    if settings is None:
        raise DataMissing(
            f"demo: no finished world in {root} (manifest.json not found); "
            f"make or resume it with load_dataset('demo', {str(root)!r})"
        )
    _settle(root, settings, {})
    videos: list[Video] = []
    captions: list[Caption] = []
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for clip in _read(root / "captions.json") or []:
        videos.append(Video(id=clip["id"], path=root / "clips" / f"{clip['id']}.mp4"))
        for k, text in enumerate(clip["captions"]):
            rows[clip["part"]].append(len(captions))
            captions.append(Caption(id=f"{clip['id']}-{k}", video=clip["id"], text=text))
    there = {path.name for path in (root / "clips").glob("*.mp4")}
    return Dataset(
        name=f"demo{'-same-times' if settings['same_times'] else ''}{_SUFFIXES[_mentions(settings)]}",
        root=root,
        videos=tuple(videos),
        captions=tuple(captions),
        splits={_PROTOCOL: {part: tuple(found) for part, found in rows.items()}},
        default_protocol=_PROTOCOL,
        missing=tuple(video.id for video in videos if video.path.name not in there),
    )


def load_truth(root: Path, video_id: str, times: Sequence[float] | NDArray[Any], duration: float) -> NDArray[np.bool_]:
    """Whether the sound is informative (one of the sounds that the captions name, not noise or silence) at each of `times`.

    `times` (F,) are seconds from the clip's start. Events fill whole twelfths of a clip, so with twelve frames the audio window of a frame lies
    wholly inside or wholly outside of what is said here. `duration` (s) is what the decoder found; times are read on its scale.
    """
    known = _read(Path(root) / "truth.json")
    if known is None:
        raise DataMissing(
            f"demo: {Path(root) / 'truth.json'} not found; make the world with load_dataset('demo', {str(root)!r})"
        )
    if video_id not in known:
        raise DataInvalid(f"demo: {Path(root) / 'truth.json'} knows no clip {video_id!r}")
    clip = known[video_id]
    at = np.asarray(times, dtype=np.float64) * (clip["duration"] / duration)
    inside = [(at >= event["start"]) & (at < event["end"]) for event in clip["sounds"]]
    return np.any(inside, axis=0) if inside else np.zeros(at.shape, dtype=bool)


SPEC = DatasetSpec(
    name="demo",
    summary="a generated world of coloured shapes and sounds that inform at different times, its truth known",
    source="made here by gaid, from a seed, in about a minute",
    load=load,
    default_root="data/demo",
    default_backbones=("tiny", "tiny", "tiny"),
    prepare=prepare,
    truth=load_truth,
)


def _settle(root: Path, found: dict[str, Any] | None, asked: dict[str, Any]) -> dict[str, Any]:
    """The settings of the world under `root`: those found there if they are what was asked for."""
    if found is None:
        return {"version": VERSION, "sizes": list(SIZES), "seed": 0, "same_times": False} | asked
    for key, value in {"version": VERSION, **asked}.items():
        there = found.get(key, _UNSAID.get(key))
        if there != value:
            raise DataInvalid(
                f"demo: {root} holds a world with {key} {there}, not {value}; delete the folder or name another with --root"
            )
    return found


def plans_of(settings: dict[str, Any]) -> list[ClipPlan]:
    """The plans of the world that a manifest describes."""
    train, val, test = settings["sizes"]
    return plan_world((train, val, test), settings["seed"], settings["same_times"], _mentions(settings))


def _mentions(settings: dict[str, Any]) -> Mentions:
    return settings.get("mentions", _UNSAID["mentions"])


def _described(plan: ClipPlan, mentions: Mentions) -> dict[str, Any]:
    return {"id": plan.id, "part": plan.part, "captions": describe(plan, mentions)}


def _truth(plan: ClipPlan) -> dict[str, Any]:
    def event(first: int, beats: int) -> dict[str, float]:
        return {"start": round(first * plan.beat, 6), "end": round((first + beats) * plan.beat, 6)}

    return {
        "duration": plan.duration,
        "track": plan.track,
        "sounds": [{"name": sound.name} | event(sound.first, sound.beats) for sound in plan.sounds],
        "sights": [
            {"colour": sight.colour, "shape": sight.shape, "manner": sight.manner} | event(sight.first, sight.beats)
            for sight in plan.sights
        ],
    }


def _make_clips(root: Path, count: int, workers: int, progress: Progress | None) -> None:
    """Runs the processes that make the clips. Plain processes, since a pool would import the caller's main module again."""
    workers = max(1, min(workers, count // 8))
    command = [sys.executable, "-m", "gaid.datasets.demo", str(root)]
    running = [
        subprocess.Popen([*command, f"{k}/{workers}"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for k in range(workers)
    ]
    try:
        while any(process.poll() is None for process in running):
            if progress is not None:
                progress(sum(1 for _ in (root / "clips").glob("[!.]*.mp4")), count)
            time.sleep(0.1)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
        complaints = [process.communicate()[1] for process in running]
    for process, complaint in zip(running, complaints, strict=True):
        if process.returncode != 0:
            reason = complaint.strip().splitlines()[-1] if complaint.strip() else f"exit code {process.returncode}"
            raise DataMissing(f"demo: the clips could not all be made under {root}: {reason}; the same command resumes")
    if progress is not None:
        progress(count, count)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataInvalid(
            f"demo: {path} is not JSON ({error}); delete the folder, and it will be made again"
        ) from error


def _write(path: Path, content: Any) -> None:
    write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())
