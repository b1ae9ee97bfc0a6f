"""Search of what is said, measured on the stamps: python -m benchmarks.speech STAMPS.zarr WORK; --simulated CLIPS for times.

Two kinds of speech: Tux Paint's 66 spoken descriptions, one man's voice and a word or two each, and 60 sentences of
`spoken.csv` read by espeak-ng in six voices, each given to a stamp that has nothing to do with it. All are written down by
`whisper:offline`, and the texts are added to a copy of the store. Half of each kind, the even rows, chose the weights in
`gaid.retrieval.speech`; figures are of the odd rows.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from gaid.backbones import load_speech
from gaid.datasets.types import Video
from gaid.extract.sources import find_dataset, load_encoder
from gaid.media.clip import SpeechRequest
from gaid.media.speech import hear
from gaid.metrics import interval_of_mean
from gaid.retrieval.lens import Sense
from gaid.retrieval.queries import Query
from gaid.retrieval.searcher import Searcher
from gaid.retrieval.speech import SpokenLibrary
from gaid.specs import Segment
from gaid.stores import Store, open_store
from gaid.stores.speech import Speech
from gaid.stores.speech_writer import write_piece

VOICES = (("en-us", 150), ("en-gb", 150), ("en-us+f3", 140), ("en-gb+m3", 160), ("en-us+m7", 170), ("en-gb+f2", 130))
SPOKEN = Path(__file__).with_name("spoken.csv")
PAGES = Path(__file__).parents[1] / "docs"


def sentences() -> list[dict[str, str]]:
    """`sentence`, `paraphrase` and `words` of each row."""
    with SPOKEN.open(newline="") as file:
        return list(csv.DictReader(file))


def speak(text: str, number: int, folder: Path) -> Path:
    """A sentence read by the voice that its number has."""
    voice, speed = VOICES[number % len(VOICES)]
    path = folder / f"{number:03d}.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", path, text], check=True)
    return path


def heard(store: Store, folder: Path) -> dict[str, list[Segment]]:
    """What `whisper:offline` hears in each clip that speaks, by id; kept in `folder` once it was heard."""
    kept = folder / "heard.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        videos = {video.id: video for video in find_dataset(store).videos}
        sounds = {name: sound for name in store.ids if (sound := description(videos[name])) is not None}
        mute = [name for name in store.ids if name not in sounds]
        chosen = np.random.default_rng(0).choice(len(mute), len(sentences()), replace=False)
        for number, (row, place) in enumerate(zip(sentences(), chosen.tolist(), strict=True)):
            sounds[mute[place]] = speak(row["sentence"], number, folder)
        whisper = load_speech("whisper:offline")
        found = {}
        for name, sound in sounds.items():
            request = SpeechRequest.of(Video(name, videos[name].path, audio_path=sound), 30.0, whisper.rate)
            found[name] = [vars(one) for one in whisper.transcribe(trimmed(hear(request).sound))]
        kept.write_text(json.dumps(found, indent=1))
    return {name: [Segment(**one) for one in said] for name, said in json.loads(kept.read_text()).items()}


def description(video: Video) -> Path | None:
    """The English description of a stamp, read aloud."""
    file = video.path.with_name(f"{video.path.stem}_desc.ogg")
    return file if file.is_file() else None


def trimmed(sound: np.ndarray) -> np.ndarray:
    """A sound without the zeros that follow it."""
    return sound[: int(np.flatnonzero(sound)[-1]) + 1]


def add(store: Store, said: dict[str, list[Segment]]) -> None:
    """Writes what is said into the pieces of the store's shards."""
    text, size = load_encoder(store, "text", "cpu"), store.layout["shard_rows"]
    for number in store.shards:
        mine = [said.get(name, []) for name in store.ids[number * size : (number + 1) * size]]
        texts = [one.text for of_clip in mine for one in of_clip]
        vectors = text.encode_text(texts).embedding if texts else np.empty((0, store.text_dim), np.float32)
        write_piece(
            Path(store.address), store.fingerprint, number, Speech.of(mine, vectors, {"name": "whisper:offline"})
        )


def found_first(searcher: Searcher, pairs: list[tuple[str, str]], sense: Sense) -> np.ndarray:
    """(queries) bool: whether the clip of each query is the first."""
    answers = searcher.ask([Query(text) for text, _ in pairs], top=1, sense=sense)
    return np.array([answer.hits[0].video == clip for answer, (_, clip) in zip(answers, pairs, strict=True)])


def word_errors(said: str, meant: str) -> tuple[int, int]:
    """Words to change, insert or leave out, and the words that were meant."""
    a, b = (re.findall(r"[a-z0-9']+", text.lower()) for text in (said, meant))
    line = list(range(len(b) + 1))
    for row, word in enumerate(a, 1):
        before, line = line, [row]
        for column, other in enumerate(b, 1):
            line.append(min(before[column] + 1, line[-1] + 1, before[column - 1] + (word != other)))
    return line[-1], len(b)


def kinds(store: Store, said: dict[str, list[Segment]]) -> dict[str, list[tuple[str, str]]]:
    """Queries with their clips: of each kind of speech, and captions of stamps that are seen."""
    captions = dict(zip(store.ids, store.texts("captions/text"), strict=True))
    names = list(said)
    spoken, read = names[: -len(sentences())], names[-len(sentences()) :]
    seen = members(store)
    return {
        "caption of a spoken description": [(captions[name], name) for name in spoken],
        **{
            f"{what} of a sentence": [(row[what], name) for row, name in zip(sentences(), read, strict=True)]
            for what in ("sentence", "paraphrase", "words")
        },
        "caption of what is seen": [(captions[name], name) for name in seen if name not in said],
    }


def members(store: Store) -> list[str]:
    """The stamps of the protocol `pictures`: one for each caption."""
    return [store.ids[row] for row in store["captions/video"][:][store["splits/pictures/test"][:]].tolist()]


def crowd(said: dict[str, list[Segment]], names: list[str]) -> dict[str, list[Segment]]:
    """Speech for every clip: those that say nothing get a sentence of this project's pages, with which no query has to do."""
    pages = " ".join(page.read_text("utf-8") for page in sorted(PAGES.glob("*.md")))
    prose = [" ".join(one.split()) for one in re.findall(r"(?<=[.:] )[A-Z][a-z ,\n]{40,160}\.", pages)]
    others = [name for name in names if name not in said]
    return said | {name: [Segment(prose[row % len(prose)], 0.0, 5.0)] for row, name in enumerate(others)}


def main(source: str, work: str) -> None:
    folder = Path(work)
    said = heard(open_store(source), folder)
    shutil.rmtree(folder / "spoken.zarr", ignore_errors=True)
    shutil.copytree(source, folder / "spoken.zarr")
    store = open_store(folder / "spoken.zarr")
    pairs = kinds(store, said)
    for kind in list(pairs)[:2]:
        errors, words = np.sum(
            [word_errors(" ".join(s.text for s in said[name]), text) for text, name in pairs[kind]], 0
        )
        nothing = sum(not said[name] for _, name in pairs[kind])
        print(f"{kind}: {errors} word errors in {words} words; nothing heard in {nothing} of {len(pairs[kind])}")
    odd = {kind: some[1::2] for kind, some in pairs.items()}
    report("without speech", Searcher.open(store=store), odd, ("all",))
    add(store, said)
    report(f"{len(said)} clips speak", Searcher.open(store=open_store(store.address)), odd, ("all", "speech"))
    add(store, crowd(said, store.ids))
    report("all clips speak", Searcher.open(store=open_store(store.address)), odd, ("all", "speech"))


def report(title: str, searcher: Searcher, pairs: dict[str, list[tuple[str, str]]], senses: tuple[Sense, ...]) -> None:
    for kind, some in pairs.items():
        for sense in senses:
            hits = found_first(searcher, some, sense)
            mean, low, high = interval_of_mean(hits, [clip for _, clip in some])
            print(
                f"{title}, --sense {sense}, {kind}: R@1 {100 * mean:.1f} ({100 * low:.1f} to {100 * high:.1f}) of {len(hits)}"
            )


def simulate(clips: int, dim: int = 384) -> None:
    """Times of a library in which each clip says three segments of twelve words."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in "aeiou" for c in rng.permutation(300)])
    numbers = np.minimum(rng.zipf(1.2, (clips * 3, 12)), len(vocabulary)) - 1
    texts = [" ".join(row) for row in vocabulary[numbers]]
    said = [[Segment(text, 0.0, 5.0) for text in texts[3 * row : 3 * row + 3]] for row in range(clips)]
    speech = Speech.of(said, rng.standard_normal((3 * clips, dim), np.float32), {})
    others = rng.standard_normal((30, dim), np.float32)
    started = time.perf_counter()
    library = SpokenLibrary(speech)
    library.ask(["first"], others[:1], others)
    print(f"{clips:,} clips, {len(speech):,} segments: ready in {time.perf_counter() - started:.1f} s")
    took = []
    for row in range(20):
        started = time.perf_counter()
        spoken = library.ask([texts[row]], others[row : row + 1], others)
        spoken.lifts(1, [])
        took.append(time.perf_counter() - started)
    print(f"a sentence: median {1000 * np.median(took):.0f} ms, slowest {1000 * max(took):.0f} ms")


if __name__ == "__main__":
    simulate(int(sys.argv[2])) if sys.argv[1] == "--simulated" else main(*sys.argv[1:])
