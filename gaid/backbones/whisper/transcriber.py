"""What is said, by Whisper: 30 s at a time, each stretch of words with its time, and nothing where it is not sure of them.

Whisper writes words over music and silence too. Which of them are kept is decided by the thresholds that OpenAI published with
it, more strictly than there, since no window is decoded again at a higher temperature: words are left out where the model
takes the window for no speech, where it is unsure of them and not sure that somebody speaks, and where they repeat
themselves. The same sound so gives the same words. docs/search.md has what that leaves of real sounds.
"""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import WhisperFeatureExtractor

from gaid.backbones.hub import VOCABULARY
from gaid.backbones.protocol import Features
from gaid.backbones.spoken import clean
from gaid.backbones.whisper.encoder import RATE, SECONDS, SHORTEST, open_offline
from gaid.errors import BackboneUnavailable
from gaid.specs import Segment

VERSION = 1
"""Changes whenever the same sound and weights would give other segments."""

# OpenAI's thresholds: the probability of no speech, the mean log probability of a token, and the compression of repeated text.
NO_SPEECH, UNSURE, REPEATED = 0.6, -1.0, 2.4
SPEECH = (
    0.2  # no speech is less probable: words are kept although the model is unsure of them, as it is of single words
)
LONGEST = 224  # tokens of a window: half of the decoder's context, as published
INITIAL = 50  # of the steps of 0.02 s: the first words begin within 1 s
STEP = 0.02
QUIET = 1e-4  # a window whose samples are all smaller is not looked at


@dataclass(frozen=True)
class Decoded:
    """The tokens of a window, their mean log probability with that of the end, and the probability that nobody speaks."""

    tokens: list[int]
    log_probability: float
    no_speech: float


Decode = Callable[[Features], Decoded]  # a mel picture (bins, 3000)


class Vocabulary:
    """Tokens of a Whisper by number. Raises BackboneUnavailable where the file is not one of a Whisper."""

    def __init__(self, backbone: str, folder: Path) -> None:
        file = folder / VOCABULARY
        if not file.is_file():
            raise BackboneUnavailable(f"{backbone}: {folder} has no {VOCABULARY}, which its words come from")
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises its own for whatever is wrong with the file
            raise BackboneUnavailable(f"{backbone}: {file} is no vocabulary: {error}") from error
        find = self._tokenizer.token_to_id
        marks: list[Any] = [find(f"<|{name}|>") for name in ("startoftranscript", "endoftext", "notimestamps")]
        if None in marks:
            raise BackboneUnavailable(f"{backbone}: {file} is not that of a Whisper, which has <|startoftranscript|>")
        self.start, self.end, self.no_times = (int(mark) for mark in marks)
        self.first_time = self.no_times + 1
        self.transcribe: int | None = find("<|transcribe|>")
        # Its name differs from one release to the other.
        self.no_speech: int | None = find("<|nospeech|>") or find("<|nocaptions|>")

    def languages(self) -> dict[str, int]:
        """Tokens of languages by their codes; a model of English alone has them, too, and does not use them."""
        named = {name[2:-2]: number for name, number in self._tokenizer.get_vocab().items() if name.startswith("<|")}
        return {name: number for name, number in named.items() if 2 <= len(name) <= 3 and name.isalpha()}

    def words(self, tokens: list[int]) -> str:
        """Tokens as text, with whatever marks are among them left out."""
        return str(self._tokenizer.decode([token for token in tokens if token < self.end], skip_special_tokens=True))


class WhisperTranscriber:
    """A Whisper that writes down what it hears, whatever runs it (`decode`)."""

    rate = RATE

    def __init__(
        self,
        name: str,
        decode: Decode,
        extractor: WhisperFeatureExtractor,
        vocabulary: Vocabulary,
        provenance: dict[str, Any],
        thread_safe: bool,
    ) -> None:
        self.name, self.thread_safe = name, thread_safe
        self._decode, self._extractor, self._vocabulary = decode, extractor, vocabulary
        self.provenance: dict[str, Any] = {"name": name, "version": VERSION, **provenance, "input": f"{RATE} Hz"}

    def transcribe(self, sound: NDArray[np.float32]) -> list[Segment]:
        """What is said in a sound (samples,), in the order of time."""
        found: list[Segment] = []
        at, window = 0, round(SECONDS * RATE)
        while len(sound) - at >= SHORTEST * RATE:
            piece = sound[at : at + window]
            if np.abs(piece).max() < QUIET:
                at += window
                continue
            decoded = self._decode(self._mel(piece))
            said, went = self._split(decoded.tokens, len(piece) / RATE)
            if is_trusted(decoded, self._vocabulary.words(decoded.tokens)):
                begin = at / RATE
                found += [Segment(one.text, begin + one.start, begin + one.end) for one in said]
                at += max(round(went * RATE), RATE)
            else:
                at += window
        return found

    def _mel(self, piece: NDArray[np.float32]) -> Features:
        found = self._extractor(piece, sampling_rate=RATE, return_tensors="np", padding="max_length", truncation=True)
        mel: Features = np.asarray(found["input_features"][0], np.float32)
        return mel

    def _split(self, tokens: list[int], seconds: float) -> tuple[list[Segment], float]:
        """The segments of a window of so many seconds by the times among its tokens, and how far the next window is from it.

        Two times side by side are the end of a segment and the start of the next; one at the end says that nothing follows.
        Words without an end are heard again from where they begin, unless nothing went before them.
        """
        found: list[Segment] = []
        begin, end, words = 0.0, 0.0, list[int]()
        for token in tokens:
            if token < self._vocabulary.first_time:
                words.append(token)
                continue
            time = min((token - self._vocabulary.first_time) * STEP, seconds)
            if words:
                text, end = clean(self._vocabulary.words(words)), time
                words = []
                if text and time > begin:
                    found.append(Segment(text, begin, time))
            begin = time
        if words and not end:
            text = clean(self._vocabulary.words(words))
            return ([Segment(text, begin, seconds)] if text else []), SECONDS
        closed = len(tokens) > 1 and tokens[-1] >= self._vocabulary.first_time > tokens[-2]
        return found, SECONDS if closed or not end else end


def is_trusted(decoded: Decoded, text: str) -> bool:
    """Whether a window's words are kept."""
    unsure = decoded.log_probability < UNSURE and decoded.no_speech > SPEECH
    if decoded.no_speech > NO_SPEECH or unsure:
        return False
    raw = text.encode()
    return len(raw) <= REPEATED * len(zlib.compress(raw))


def load_offline_transcriber() -> WhisperTranscriber:
    """The packaged tiny.en. Raises BackboneUnavailable for other weights."""
    import ctranslate2

    model, folder, provenance = open_offline(os.cpu_count() or 1)
    vocabulary = Vocabulary("whisper:offline", folder)

    def decode(mel: Features) -> Decoded:
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None]))
        (found,) = model.generate(
            view, [[vocabulary.start]], beam_size=1, max_length=LONGEST, return_scores=True, return_no_speech_prob=True,
            max_initial_timestamp_index=INITIAL,
        )  # fmt: skip
        tokens = [token for token in found.sequences_ids[0] if token != vocabulary.end]
        # The score is the mean over the tokens without the end.
        mean = found.scores[0] * len(found.sequences_ids[0]) / (len(tokens) + 1)
        return Decoded(tokens, mean, found.no_speech_prob)

    return WhisperTranscriber("whisper:offline", decode, WhisperFeatureExtractor(), vocabulary, provenance, True)
