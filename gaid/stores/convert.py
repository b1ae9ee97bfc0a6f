"""The same store in the other format, with nothing lost: folders of zarr and files of HDF5."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaid.errors import OptionInvalid
from gaid.files import check_folder
from gaid.stores.hdf5_writer import HDF5_SUFFIXES, write_hdf5
from gaid.stores.reader import StoreReader
from gaid.stores.schema import StorePlan, caption_arrays, video_arrays
from gaid.stores.speech_writer import write_piece
from gaid.stores.store import Store, open_store
from gaid.stores.writer import StoreWriter


def convert_store(source: str | Path, target: str | Path) -> Store:
    """The same store in the format of the target's suffix (.zarr, .h5, .hdf5).

    Raises: OptionInvalid where the target exists or has another suffix; StoreIncomplete for an unfinished source.
    """
    target = Path(target)
    store = open_store(source)
    if target.exists():
        raise OptionInvalid(f"{target}: is there already; name another place")
    check_folder(target.parent, "TARGET")
    if target.suffix in HDF5_SUFFIXES:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_hdf5(store, target)
        return open_store(target)
    if target.suffix != ".zarr":
        raise OptionInvalid(f"{target}: a store's name ends in .zarr, .h5 or .hdf5")
    with StoreWriter.open(target, plan_of(store)) as writer:
        copy_captions(store, writer, np.arange(store.layout["captions"]))
        copy_rows(store, writer, np.arange(store.layout["videos"]))
        return writer.finish()


def copy_rows(store: StoreReader, writer: StoreWriter, rows: NDArray[np.int64]) -> None:
    """Writes the shards that a writer lacks: its row i is row `rows[i]` of the store, each once and ascending."""
    sources, remarks = store.sources, store.remarks
    failures: dict[str, dict[str, str]] = {failure["id"]: failure for failure in store.failures}
    speech = store.speech
    for number in writer.pending_shards:
        mine = rows[writer.shard_slice(number)]
        arrays = {name.removeprefix("videos/"): store.rows(name, mine) for name in video_arrays(store.layout)}
        names = [store.ids[row] for row in mine.tolist()]
        listed = [failures[name] for name in names if name in failures]
        writer.write_shard(number, arrays, listed, [sources.get(name, ()) for name in names] if sources else None,
                           [one for one in remarks if one["id"] in set(names)])  # fmt: skip
        if speech is not None:
            write_piece(writer.path, writer.fingerprint, number, speech.take(mine))


def copy_captions(store: StoreReader, writer: StoreWriter, captions: NDArray[np.int64]) -> None:
    """Writes a writer's captions: its caption i is caption `captions[i]` of the store, each once and ascending."""
    offsets = store["captions/token_offsets"][...]
    tokens = [np.arange(offsets[row], offsets[row + 1]) for row in captions.tolist()]
    rows = {"captions": captions, "tokens": np.concatenate([np.empty(0, np.int64), *tokens])}
    writer.write_captions(*(store.rows(name, rows[one.rows]) for name, one in caption_arrays(store.layout).items()))


def plan_of(store: StoreReader) -> StorePlan:
    """The plan that this store was made by."""
    layout = store.layout
    return StorePlan(
        video_ids=store.ids,
        caption_ids=store.texts("captions/id"),
        caption_texts=store.texts("captions/text"),
        caption_video=[int(row) for row in store["captions/video"][:]],
        token_offsets=[int(offset) for offset in store["captions/token_offsets"][:]],
        splits={
            protocol: {part: [int(row) for row in store[f"splits/{protocol}/{part}"][:]] for part in parts}
            for protocol, parts in store.protocols.items()
        },
        default_protocol=store.default_protocol,
        frames=store.frames, visual_dim=store.visual_dim, audio_dim=store.audio_dim, text_dim=store.text_dim,
        patches=store.patch_shape, audio_tokens=store.audio_token_shape, audio_text=store.has_audio_text,
        audio_clip_tokens=store.audio_clip_token_shape,
        attrs=store.provenance, shard_rows=layout["shard_rows"], chunk_rows=layout["chunk_rows"], schema=store.schema,
    )  # fmt: skip
