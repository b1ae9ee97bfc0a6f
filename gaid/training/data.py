"""The features that a training works on: the store, its training part and its validation part."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from gaid.datasets.parts import part_size
from gaid.errors import DataMissing, OptionInvalid, StoreIncomplete
from gaid.stores import Split, Store, open_store, with_audio
from gaid.training.options import TrainConfig


def open_for_training(store: str | Path | Store, allow_incomplete: bool) -> Store:
    """The store, opened. Raises StoreIncomplete where a part of it is missing that training needs."""
    if isinstance(store, (str, Path)):
        store = open_store(store, incomplete=allow_incomplete)
    missing = store.missing_shards
    if missing and not allow_incomplete:
        raise StoreIncomplete(
            f"{store.path}: {len(missing)} parts are not extracted yet; run the extraction again, or train on what is "
            "there with --allow-incomplete"
        )
    if "captions" in missing:
        raise StoreIncomplete(f"{store.path}: its captions are not extracted yet; run the extraction again")
    return store


def load_parts(store: Store, settings: TrainConfig) -> tuple[Split, Split]:
    """(training, validation) with the audio that was asked for. Raises DataMissing and OptionInvalid."""
    _check_train_part(store, settings.split_protocol)
    split = with_audio(store.split("train", settings.split_protocol), settings.audio, settings.seed)
    parts = store.protocols[split.protocol]
    if not split.video_ids:
        raise DataMissing(f"{store.path}: no training video that could be read under protocol {split.protocol!r}")
    if parts.get(settings.validation, 0):
        part = store.split(settings.validation, split.protocol)
        if not part.video_ids:
            raise DataMissing(
                f"{store.path}: no {settings.validation} video that could be read; give another --set validation"
            )
        return split, with_audio(part, settings.audio, settings.seed)
    if settings.validation != TrainConfig.validation:
        known = ", ".join(name for name, rows in parts.items() if rows)
        raise OptionInvalid(f"validation={settings.validation}: {store.path} has no such part; it has {known}")
    return hold_out(split, settings.holdout)


def hold_out(split: "Split", share: float) -> tuple["Split", "Split"]:
    """(kept, held out): the given share of the videos, but at least ten, or a quarter where there are few.

    A hash of the ids chooses them, so they are the same in every training. Raises DataMissing for fewer than four videos.
    """
    videos = len(split.video_ids)
    if videos < 4:
        raise DataMissing(f"{videos} training videos are too few to hold some out for validation")
    order = np.argsort([sha256(f"validation {name}".encode()).hexdigest() for name in split.video_ids])
    count = part_size(round(share * videos), videos)
    return split.take(np.sort(order[count:])), split.take(np.sort(order[:count]))


def _check_train_part(store: Store, asked: str | None) -> None:
    """Raises DataMissing where the store's default split has nothing to train on, naming the splits that have."""
    if asked is not None or store.protocols[store.default_protocol].get("train"):
        return
    others = [name for name, parts in store.protocols.items() if parts.get("train")]
    if others:
        raise DataMissing(
            f"{store.path}: its default split, {store.default_protocol!r}, has no training part (too few captioned videos to "
            f"divide); train on few with --split-protocol {' or '.join(others)}, or evaluate without training: gaid eval "
            f"--store {store.path} --preset mean-pool"
        )
