"""Extraction on this machine: decode workers that look ahead, one model here, a thread that writes the shard before.

The three overlap, and no queue grows: the decode pool looks ahead by a bounded number of clips, and a shard is passed to
the writer only when the one before is on disk.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid.console import Progress, StopWish
from gaid.errors import DataInvalid, ExtractInterrupted, OptionInvalid
from gaid.extract.encoder import fixed_threads
from gaid.extract.options import Resources
from gaid.extract.report import Failure
from gaid.extract.rows import ShardRows, ShardShape
from gaid.extract.shard import naming_disk_faults, working, write_rows
from gaid.media.clip import ClipRequest

if TYPE_CHECKING:
    from gaid.backbones import Backbones
    from gaid.stores import StorePlan, StoreWriter

TEXT_BLOCK = 256  # texts between two looks at the wish to stop; their vectors don't depend on it


def run_local(
    writer: "StoreWriter",
    ids: Sequence[str],
    requests: Sequence[ClipRequest],
    shape: ShardShape,
    backbones: "Backbones",
    device: str,
    resources: Resources,
    progress: Progress,
    stop: StopWish,
) -> int:
    """Extracts the shards that the store lacks, in order; returns the number of clips. Ends after a shard when `stop`
    is set."""
    pending = list(writer.pending_shards)
    slices = {number: writer.shard_slice(number) for number in pending}
    wanted = (requests[row] for number in pending for row in range(slices[number].start, slices[number].stop))
    extracted = 0
    writing: Future[None] | None = None
    open_shards: deque[ShardRows] = deque()

    def count(results: Iterable[Failure | None]) -> None:
        nonlocal extracted, writing
        for failure in results:
            extracted += 1
            progress.advance(failed=failure is not None)
            if failure is not None:
                progress.say(str(failure))
        while open_shards and open_shards[0].complete:
            if writing is not None:
                writing.result()
            writing = thread.submit(write_rows, writer, open_shards.popleft())

    with (
        ThreadPoolExecutor(1, thread_name_prefix="shard-writer") as thread,
        working(backbones, device, shape, resources) as (encoder, pool),
    ):
        decoded = pool.map(wanted)
        for number in pending:
            if stop:
                break
            start, end = slices[number].start, slices[number].stop
            rows = ShardRows(number, end - start, shape)
            open_shards.append(rows)
            for row in range(end - start):
                count(encoder.add(rows, row, ids[start + row], next(decoded)))
            count(encoder.end_batch())
        count(encoder.flush())
        if writing is not None:
            writing.result()
    return extracted


def write_captions(
    writer: "StoreWriter",
    plan: "StorePlan",
    backbones: "Backbones",
    *,
    device: str,
    threads: int,
    progress: Progress,
    stop: StopWish,
) -> None:
    """Encodes all captions, also into the sound's own text space where the store keeps that, and writes them together: they are
    one unit of work, with one writer."""
    text, audio = backbones.text, backbones.audio
    texts = list(plan.caption_texts)
    offsets = np.asarray(plan.token_offsets)
    embedding = np.empty((len(texts), plan.text_dim), np.float16)
    tokens = np.empty((int(offsets[-1]), plan.text_dim), np.float16)
    of_sound = np.empty((len(texts), plan.audio_dim), np.float16) if writer.has_audio_text else None
    with fixed_threads(threads, device):
        for first in range(0, len(texts), TEXT_BLOCK):
            if stop:
                raise ExtractInterrupted("stopped while captions were encoded; the same command starts with them again")
            block = texts[first : first + TEXT_BLOCK]
            features = text.encode_text(block)
            with np.errstate(over="ignore", invalid="ignore"):
                embedding[first : first + len(block)] = features.embedding
                if of_sound is not None:
                    of_sound[first : first + len(block)] = audio.encode_text(block)
                for row, of_text in enumerate(features.tokens, start=first):
                    if len(of_text) != offsets[row + 1] - offsets[row]:
                        raise OptionInvalid(
                            f"text backbone {text.name!r} counts {offsets[row + 1] - offsets[row]} tokens in caption "
                            f"{plan.caption_ids[row]!r} but gives {len(of_text)}: its count_tokens must agree with encode_text"
                        )
                    tokens[offsets[row] : offsets[row + 1]] = of_text
            progress.advance(len(block))
    for kind, name, vectors in (("text", text.name, embedding), ("audio", audio.name, of_sound)):
        finite = np.ones(len(texts), bool) if vectors is None else np.isfinite(vectors).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise DataInvalid(
                f"{kind} backbone {name!r} gives numbers that are not finite for caption {plan.caption_ids[row]!r} "
                f"({plan.caption_texts[row]!r}): correct or leave out that caption"
            )
    if not np.isfinite(tokens).all():
        bad = int(np.argmin(np.isfinite(tokens).all(axis=1)))
        row = int(np.searchsorted(offsets, bad, side="right")) - 1
        raise DataInvalid(
            f"text backbone {text.name!r} gives numbers that are not finite for a token of caption {plan.caption_ids[row]!r} "
            f"({plan.caption_texts[row]!r}): correct or leave out that caption"
        )
    with naming_disk_faults(Path(writer.path)):
        writer.write_captions(embedding, tokens, of_sound)
