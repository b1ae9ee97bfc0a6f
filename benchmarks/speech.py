"""Search of what is said, measured on the stamps: python -m benchmarks.speech STAMPS.zarr WORK

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
from gaid.specs import Segment
from gaid.stores import Store, open_store
from gaid.stores.speech import Speech
from gaid.stores.speech_writer import write_piece

VOICES = (("en-us", 150), ("en-gb", 150), ("en-us+f3", 140), ("en-gb+m3", 160), ("en-us+m7", 170), ("en-gb+f2", 130))
SPOKEN = Path(__file__).with_name("spoken.csv")


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
        write_piece(store.path, store.fingerprint, number, Speech.of(mine, vectors, {"name": "whisper:offline"}))


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


def main(source: str, work: str) -> None:
    folder = Path(work)
    said = heard(open_store(source), folder)
    shutil.rmtree(folder / "spoken.zarr", ignore_errors=True)
    shutil.copytree(source, folder / "spoken.zarr")
    store = open_store(folder / "spoken.zarr")
    pairs = kinds(store, said)
    deaf = Searcher.open(store=store)
    before = {kind: found_first(deaf, some[1::2], "all") for kind, some in pairs.items()}
    add(store, said)
    searcher = Searcher.open(store=open_store(store.path))
    for kind in list(pairs)[:2]:
        errors, words = np.sum(
            [word_errors(" ".join(s.text for s in said[name]), text) for text, name in pairs[kind]], 0
        )
        print(
            f"{kind}: {errors} word errors in {words} words; {sum(not said[name] for _, name in pairs[kind])} not heard"
        )
    for kind, some in pairs.items():
        shown = [f"without speech {percent(before[kind])}"]
        senses: tuple[Sense, ...] = ("all", "speech")
        for sense in senses:
            shown.append(f"{sense} {percent(found_first(searcher, some[1::2], sense))}")
        print(f"{kind}, R@1 of {len(some[1::2])}: " + "; ".join(shown))


def percent(hits: np.ndarray) -> str:
    mean, low, high = interval_of_mean(hits, np.arange(len(hits)))
    return f"{100 * mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main(*sys.argv[1:])
