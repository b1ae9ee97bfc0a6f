"""The same store in the other format, with nothing lost: folders of zarr and files of HDF5."""

from pathlib import Path

from gaid.errors import OptionInvalid
from gaid.files import check_folder
from gaid.stores.hdf5_writer import HDF5_SUFFIXES, write_hdf5
from gaid.stores.reader import StoreReader
from gaid.stores.schema import StorePlan, caption_arrays, video_arrays
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
    sources = store.sources
    failures: dict[str, dict[str, str]] = {failure["id"]: failure for failure in store.failures}
    with StoreWriter.open(target, plan_of(store)) as writer:
        of_captions = (store[name][:] for name in caption_arrays(store.layout))
        writer.write_captions(*of_captions)
        for number in writer.pending_shards:
            rows = writer.shard_slice(number)
            arrays = {name.removeprefix("videos/"): store[name][rows] for name in video_arrays(store.layout)}
            names = store.ids[rows]
            listed = [failures[name] for name in names if name in failures]
            writer.write_shard(number, arrays, listed, [sources.get(name, ()) for name in names] if sources else None,
                               [one for one in store.remarks if one["id"] in set(names)])  # fmt: skip
        return writer.finish()


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
        attrs=store.provenance, shard_rows=layout["shard_rows"], chunk_rows=layout["chunk_rows"], schema=store.schema,
    )  # fmt: skip
