"""What an extraction will do, fixed before it starts: which rows, shards and requests, and what the store records of
its making.

Nothing here depends on workers, batch size or device, so that the bytes of the store can't either. Decoding and encoding are
left to `local` and `cluster`.
"""

import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.datasets.types import Dataset
from gaid.errors import DataMissing, OptionInvalid
from gaid.media.clip import AudioSampling, ClipRequest, Sampling
from gaid.paths import whole_path
from gaid.versions import version_of

if TYPE_CHECKING:
    from gaid.backbones import AudioBackbone, Backbones
    from gaid.stores import StorePlan


def choose_backbones(
    usual: tuple[str, str, str], visual: str | None, audio: str | None, text: str | None
) -> tuple[str, str, str | None]:
    """The names to load: those given, else the data set's usual ones (visual, audio, text).

    A visual backbone that was chosen brings its own text encoder (None), since a text must meet the pictures of its kind.
    """
    if text is None and visual in (None, usual[0]):
        text = usual[2]
    return visual or usual[0], audio or usual[1], text


def default_out(dataset: str, visual: str) -> Path:
    """stores/DATASET-VISUAL.zarr, with what a file's name can't hold replaced."""
    return Path("stores") / (re.sub(r"[^\w.+-]+", "-", f"{dataset}-{visual}") + ".zarr")


def shard_rows(videos: int) -> int:
    """Clips of one shard, by the number of videos alone: at least eight shards where there are eight clips."""
    if videos > 2000:
        return 200
    return 50 if videos > 400 else max(1, -(-videos // 8))


def check_missing(dataset: Dataset, max_missing: float) -> None:
    """Raises DataMissing where there is nothing to extract, or more is missing than the user allows."""
    total, missing = len(dataset.videos), len(dataset.missing)
    if not 0 <= max_missing <= 1:
        raise OptionInvalid(f"--max-missing {max_missing}: a share from 0 to 1")
    if total == 0:
        raise DataMissing(f"{dataset.name}: no video found under {dataset.root}; name another place with --root")
    if missing == total:
        first = next(video for video in dataset.videos if video.id == dataset.missing[0])
        raise DataMissing(
            f"{dataset.name}: none of the {total} videos is there (looked for {first.path} and so on); "
            "put them there, or name another place with --root"
        )
    if missing > max_missing * total:
        some = ", ".join(dataset.missing[:5]) + (" ..." if missing > 5 else "")
        share = missing / total
        raise DataMissing(
            f"{dataset.name}: {missing} of {total} videos ({share:.1%}) are not under {dataset.root}: {some}; more than "
            f"--max-missing {max_missing:g}. Get them, or do without them: --max-missing {round_up(share)}"
        )


def round_up(share: float) -> float:
    """The next share of two digits that lets `share` through."""
    return min(1.0, -(-round(share * 1e6) // 10_000) / 100)


def restrict(dataset: Dataset, limit: int) -> Dataset:
    """`limit` videos spread evenly over the list, so that each part keeps some, with their captions."""
    if limit < 1:
        raise OptionInvalid(f"--limit {limit}: at least 1")
    total = len(dataset.videos)
    if limit >= total:
        return dataset
    videos = tuple(dataset.videos[row * total // limit] for row in range(limit))
    kept = {video.id for video in videos}
    rows = [row for row, caption in enumerate(dataset.captions) if caption.video in kept]
    new_row = {row: place for place, row in enumerate(rows)}
    return replace(
        dataset,
        videos=videos,
        captions=tuple(dataset.captions[row] for row in rows),
        splits={
            protocol: {
                part: tuple(new_row[row] for row in of_part if row in new_row) for part, of_part in parts.items()
            }
            for protocol, parts in dataset.splits.items()
        },
        missing=tuple(video for video in dataset.missing if video in kept),
    )


def make_requests(
    dataset: Dataset, backbones: "Backbones", sampling: Sampling, clip_sound: bool = False
) -> list[ClipRequest]:
    """One request per video, in row order; `clip_sound`: with the whole sound of each clip."""
    specs = (backbones.visual.frame_spec, backbones.audio.audio_spec)
    return [replace(ClipRequest.of(video, sampling, *specs), clip_sound=clip_sound) for video in dataset.videos]


def check_audio_sampling(backbone: "AudioBackbone", audio_sampling: AudioSampling) -> None:
    """Raises OptionInvalid where a backbone can't hear as the sampling wants it to."""
    whole = backbone.audio_spec.whole
    if audio_sampling == "spread" and whole:
        raise OptionInvalid(
            f"--audio-sampling spread cuts windows, and {backbone.name} hears a clip's whole sound; use aligned or published"
        )
    if audio_sampling == "published" and not (whole and hasattr(backbone, "encode_published")):
        hears = "cannot encode a sound as the published code does" if whole else "hears one window per frame"
        instead = "aligned" if whole else "spread, which spreads the windows over 30 s"
        raise OptionInvalid(
            f"--audio-sampling published needs a backbone that encodes the whole sound, such as whisper; {backbone.name} {hears}; "
            f"use {instead}"
        )


def make_plan(
    dataset: Dataset,
    backbones: "Backbones",
    sampling: Sampling,
    patches: bool,
    audio_tokens: bool = False,
    audio_clip_tokens: bool = False,
    counted: Mapping[str, int] | None = None,
) -> "StorePlan":
    """The store's plan: everything that its contents depend on, and what it records of its making.

    `counted`: the number of tokens of texts for which it is known.
    """
    check_audio_sampling(backbones.audio, sampling.audio_sampling)
    from gaid.stores import StorePlan

    captioned = {caption.video for caption in dataset.captions}
    row_of = {name: row for row, name in enumerate(dataset.video_ids) if name in captioned}
    texts = [caption.text for caption in dataset.captions]
    known = dict(counted or {})
    others = [text for text in texts if text not in known]
    known |= zip(others, backbones.text.count_tokens(others) if others else [], strict=True)
    offsets = list(accumulate((int(known[text]) for text in texts), initial=0))
    rows = shard_rows(len(dataset.videos))
    return StorePlan(
        video_ids=dataset.video_ids,
        caption_ids=[caption.id for caption in dataset.captions],
        caption_texts=texts,
        caption_video=[row_of[caption.video] for caption in dataset.captions],
        token_offsets=offsets,
        splits={
            protocol: {part: list(of_part) for part, of_part in parts.items()}
            for protocol, parts in dataset.splits.items()
        },
        default_protocol=dataset.default_protocol,
        frames=sampling.frames,
        visual_dim=backbones.visual.dim,
        audio_dim=backbones.audio.dim,
        text_dim=backbones.text.dim,
        patches=backbones.visual.patch_shape if patches else None,
        audio_tokens=backbones.audio.token_shape if audio_tokens else None,
        audio_text=backbones.audio.has_text,
        audio_clip_tokens=backbones.audio.clip_token_shape if audio_clip_tokens else None,
        attrs=describe(dataset, backbones, sampling),
        shard_rows=rows,
        chunk_rows=min(50, rows),
    )


def describe(dataset: Dataset, backbones: "Backbones", sampling: Sampling) -> dict[str, Any]:
    """The store's attributes. `backbones` and `sampling` determine the features; the rest says where they came from."""
    provenance = {
        "visual": backbones.visual.provenance,
        "audio": backbones.audio.provenance,
        "text": backbones.text.provenance,
    }
    return {
        "dataset": {
            "name": dataset.name,
            "root": str(whole_path(dataset.root)),
            "protocol": dataset.default_protocol,
            **({"loader": dataset.loader} if dataset.loader else {}),
            **({"audio_root": str(whole_path(dataset.audio_root))} if dataset.audio_root else {}),
        },
        "backbones": provenance,
        "sampling": {
            **sampling.to_attrs(),
            "frame": asdict(backbones.visual.frame_spec),
            "audio": backbones.audio.audio_spec.to_attrs(),
            "clips": digest_clips(dataset),
        },
        "random_weights": any(bool(one.get("random_weights")) for one in provenance.values()),
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": list(dataset.notes),
    }


def digest_clips(dataset: Dataset) -> str:
    """One digest of which part of its file each clip is: the same ids over other moments are another data set."""
    from gaid.stores.schema import digest_list

    cut = ([video.id, video.start, video.end, video.audio_path is not None] for video in dataset.videos)
    return digest_list(cut, (", ", ": "))


def versions() -> dict[str, str]:
    """The versions of the packages that the features depend on."""
    found = {"python": platform.python_version()}
    for name in ("gaid", "numpy", "torch", "zarr", "h5py", "av"):
        if version := version_of(name):
            found[name] = version
    import av

    found["ffmpeg"] = ", ".join(
        f"{library} {'.'.join(map(str, number))}"
        for library, number in sorted(av.library_versions.items())
        if library in ("libavcodec", "libavformat", "libswscale", "libswresample")
    )
    return found
