"""The growth of a toy store, as an extraction of a folder that changed does it."""

import numpy as np

from gaid.stores import open_store
from gaid.stores.convert import plan_of
from gaid.stores.library_writer import LibraryWriter, Row, Rows
from tests.stores.toy import make_plan, shard_arrays


def grow(path, names, keep, seed=50):
    """Adds clips of random features to the store, keeps those of its rows that `keep` lists, in that order before them."""
    with LibraryWriter.open(path) as library:
        store = open_store(path)
        plan = plan_of(store)
        before = library.live() or [Row("", row) for row in range(len(store.ids))]
        captions = library.live_captions() or [Row("", row) for row in range(len(plan.caption_ids))]
        new = make_plan(video_ids=names, caption_ids=["new"], caption_texts=[f"text {seed}"], caption_video=[-1],
                        token_offsets=[0, 2], splits={})  # fmt: skip
        with library.new_part(new) as writer:
            random = np.random.default_rng(seed)
            writer.write_captions(random.standard_normal((1, 5)), random.standard_normal((2, 5)))
            for number in writer.pending_shards:
                rows = writer.shard_slice(number)
                writer.write_shard(number, shard_arrays(rows.stop - rows.start, new, seed + number), [])
        part = library.reread(writer)
        ids = [*(store.ids[row] for row in keep), *names]
        view = make_plan(
            video_ids=ids, caption_ids=["a", "b"], caption_texts=["a red ball", f"text {seed}"],
            caption_video=[0, len(ids) - 1], token_offsets=[0, 3, 5], splits={"all": {"test": [0, 1]}}, default_protocol="all",
        )  # fmt: skip
        rows = [*(before[row] for row in keep), *(Row(part.name, row) for row in range(len(names)))]
        library.commit(view, Rows.of(rows), Rows.of([captions[0], Row(part.name, 0)]), {"mine": np.arange(3)})
