"""Transcribers: what they take for words, when, and what they leave out."""

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gaid.backbones import load_speech, statuses
from gaid.backbones.spoken import clean
from gaid.backbones.tones import WORDS
from gaid.errors import BackboneUnavailable, OptionInvalid
from gaid.specs import Segment
from tests.speech_maker import say


def test_tones_are_words_with_their_times_and_other_sounds_are_none():
    noise = np.random.default_rng(1).standard_normal(32_000).astype(np.float32) * 0.2
    sound = np.concatenate([say(("apple", 0.5), ("bridge", 1.0), ("pepper", 3.0)), noise])
    assert load_speech("tiny").transcribe(sound) == [Segment("apple bridge", 0.5, 1.3), Segment("pepper", 3.0, 3.3)]
    assert [load_speech("tiny").transcribe(say((word, 1.0)))[0].text for word in WORDS] == list(WORDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<i>Hello</i>,  you &amp; me", "Hello, you & me"),
        ("[dog barks] Come! (laughs)", "Come!"),
        ("♪ la la ♪", ""),
        ("{\\an8}*sighs*", ""),
        ("...", ""),
        ("ünïcode 你好", "ünïcode 你好"),
    ],
)
def test_what_is_said_has_no_marks_and_no_notes(text, said):
    assert clean(text) == said


def test_cues_become_sentences():
    cues = [
        Segment("A cue that", 0.0, 2.0),
        Segment("goes on.", 2.0, 3.5),
        Segment("[music]", 3.6, 5.0),
        Segment("Another", 5.0, 6.0),
        Segment("much later", 60.0, 61.0),
        Segment("much later", 60.5, 61.0),  # a caption that rolls up says its words again
    ]
    assert load_speech("subtitles").read(cues) == [
        Segment("A cue that goes on.", 0.0, 3.5),
        Segment("Another", 5.0, 6.0),
        Segment("much later", 60.0, 61.0),
    ]


def test_a_transcriber_that_is_none_says_which_there_are():
    with pytest.raises(OptionInvalid, match=r"'clip' transcribes no speech; those that do: subtitles, tiny, whisper"):
        load_speech("clip")
    assert {one.name for one in statuses() if one.kind == "speech"} == {
        "subtitles", "tiny", "whisper:openai/whisper-base", "whisper:offline",
    }  # fmt: skip


def test_a_class_of_ones_own_transcribes(tmp_path):
    (tmp_path / "own.py").write_text(
        "class Parrot:\n    name, rate = 'parrot', 8000\n    provenance = {'name': 'parrot'}\n"
        "    def transcribe(self, sound):\n        return []\n\n"
        "class Mute:\n    name, rate = 'mute', 8000\n    provenance = {'name': 'mute'}\n"
    )
    assert load_speech(f"{tmp_path / 'own.py'}:Parrot").transcribe(np.zeros(8, np.float32)) == []
    with pytest.raises(OptionInvalid, match="lacks transcribe"):
        load_speech(f"{tmp_path / 'own.py'}:Mute")


# Whisper

END, START, NO_SPEECH, NO_TIMES = 300, 301, 302, 303
FIRST = NO_TIMES + 1  # the time 0.00


def at(seconds: float) -> int:
    return FIRST + round(seconds / 0.02)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory) -> Path:
    """A folder with a vocabulary of single characters and Whisper's marks."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra 'whisper'")
    folder = tmp_path_factory.mktemp("vocabulary")
    letters = {chr(32 + number): number for number in range(END)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=letters, merges=[]))
    tokenizer.decoder = tokenizers.decoders.Fuse()
    marks = ["<|endoftext|>", "<|startoftranscript|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens(marks)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert [tokenizer.token_to_id(mark) for mark in marks] == [END, START, NO_SPEECH, NO_TIMES]
    return folder


def spell(text: str) -> list[int]:
    return [ord(letter) - 32 for letter in text]


class Scripted:
    """Gives one window's tokens after the other, and remembers how many samples of sound each had."""

    def __init__(self, *windows, log_probability=-0.3, no_speech=0.1):
        self.windows, self.sure = list(windows), (log_probability, no_speech)
        self.asked = 0

    def __call__(self, mel):
        from gaid.backbones.whisper.transcriber import Decoded

        self.asked += 1
        return Decoded(self.windows.pop(0), *self.sure)


def transcribe(vocabulary, decode, seconds=10.0):
    from transformers import WhisperFeatureExtractor

    from gaid.backbones.whisper.transcriber import Vocabulary, WhisperTranscriber

    words = Vocabulary("whisper:test", vocabulary)
    transcriber = WhisperTranscriber("whisper:test", decode, WhisperFeatureExtractor(), words, {}, True)
    sound = np.random.default_rng(0).standard_normal(round(16_000 * seconds)).astype(np.float32) * 0.1
    return transcriber.transcribe(sound)


@pytest.mark.slow
def test_times_among_the_tokens_are_those_of_segments(vocabulary):
    tokens = [at(0), *spell(" One."), at(2.5), at(3), *spell(" Two."), at(4)]
    assert transcribe(vocabulary, Scripted(tokens)) == [Segment("One.", 0.0, 2.5), Segment("Two.", 3.0, 4.0)]


def test_a_longer_sound_is_heard_from_the_last_time_on(vocabulary):
    first = [at(0), *spell(" One."), at(20), at(20), *spell(" cut of")]
    second = [at(0.5), *spell(" cut off?"), at(3)]
    found = transcribe(vocabulary, Scripted(first, second), seconds=40)
    assert found == [Segment("One.", 0.0, 20.0), Segment("cut off?", 20.5, 23.0)]


def test_words_without_an_end_last_to_the_end_of_the_window(vocabulary):
    decode = Scripted([at(1), *spell(" On and on")], [at(0), *spell(" next"), at(2)])
    found = transcribe(vocabulary, decode, seconds=35)
    assert found == [Segment("On and on", 1.0, 30.0), Segment("next", 30.0, 32.0)]


@pytest.mark.parametrize(
    ("log_probability", "no_speech", "kept"),
    [(-0.3, 0.1, True), (-0.99, 0.5, True), (-1.2, 0.1, True), (-1.2, 0.5, False), (-0.3, 0.7, False)],
)
def test_words_that_the_model_does_not_believe_in_are_left_out(vocabulary, log_probability, no_speech, kept):
    decode = Scripted([at(0), *spell(" Hm"), at(1)], log_probability=log_probability, no_speech=no_speech)
    assert bool(transcribe(vocabulary, decode)) is kept


def test_words_that_repeat_themselves_are_left_out(vocabulary):
    assert transcribe(vocabulary, Scripted([at(0), *spell(" Thank you." * 20), at(9)])) == []


def test_silence_is_not_looked_at(vocabulary):
    from transformers import WhisperFeatureExtractor

    from gaid.backbones.whisper.transcriber import Vocabulary, WhisperTranscriber

    decode = Scripted()
    words = Vocabulary("whisper:test", vocabulary)
    transcriber = WhisperTranscriber("whisper:test", decode, WhisperFeatureExtractor(), words, {}, True)
    assert transcriber.transcribe(np.zeros(16_000 * 50, np.float32)) == []
    assert decode.asked == 0


@pytest.fixture(scope="module")
def checkpoint(vocabulary, tmp_path_factory) -> Path:
    """A Whisper of few numbers at random, saved as transformers saves one, with the vocabulary."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", reason="needs the extra 'whisper'")
    folder = tmp_path_factory.mktemp("whisper") / "whisper-of-tests"
    torch.manual_seed(5)
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=32, vocab_size=FIRST + 1501, pad_token_id=END, bos_token_id=END,
        eos_token_id=END, decoder_start_token_id=START,
    )  # fmt: skip
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    shutil.copy(vocabulary / "tokenizer.json", folder)
    return folder


@pytest.mark.slow
def test_a_checkpoint_writes_what_the_rules_of_times_allow(checkpoint):
    """Whatever the weights: begins with a time within a second, times rise, and come in pairs but for one before the end."""
    transcriber = load_speech(f"whisper:{checkpoint}")
    assert transcriber.name == "whisper:whisper-of-tests"
    rng = np.random.default_rng(3)
    for _ in range(3):
        mel = rng.standard_normal((80, 3000)).astype(np.float32)
        decoded = transcriber._decode(mel)
        tokens = decoded.tokens
        assert FIRST <= tokens[0] <= FIRST + 50
        assert not {START, NO_SPEECH, NO_TIMES, END} & {*tokens}
        times = [token for token in tokens if token >= FIRST]
        assert times == sorted(times)
        flags = "".join("t" if token >= FIRST else "w" for token in tokens)
        assert "ttt" not in flags
        assert "wtw" not in flags
        assert decoded.log_probability < 0
        assert 0 < decoded.no_speech < 1
        again = transcriber._decode(mel)
        assert again == decoded


@pytest.mark.slow
def test_the_most_likely_token_is_that_of_the_whole_model(checkpoint):
    """Step by step with what the decoder keeps, or all tokens at once: the same logits, so the same mean log probability."""
    import torch
    import transformers

    mel = np.random.default_rng(4).standard_normal((80, 3000)).astype(np.float32)
    decoder = load_speech(f"whisper:{checkpoint}")._decode
    decoded = decoder(mel)
    model = transformers.WhisperForConditionalGeneration.from_pretrained(checkpoint).eval()
    given = [START, *decoded.tokens]
    with torch.inference_mode():
        logits = model(torch.from_numpy(mel)[None], decoder_input_ids=torch.tensor([given])).logits[0]
    total = 0.0
    for place, token in enumerate([*decoded.tokens, END][: len(given)]):
        chances = decoder._allowed(logits[place], decoded.tokens[:place]).log_softmax(0)
        if place < len(decoded.tokens):
            assert int(chances.argmax()) == token
        total += float(chances[token]) if math.isfinite(float(chances[token])) else 0.0
    if len(decoded.tokens) < 224:
        assert decoded.log_probability == pytest.approx(total / (len(decoded.tokens) + 1), abs=1e-4)
    assert decoded.no_speech == pytest.approx(float(logits[0].softmax(0)[NO_SPEECH]), abs=1e-5)


def test_a_checkpoint_without_a_vocabulary_or_with_another_is_refused(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "bare")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BackboneUnavailable, match=r"has no tokenizer\.json"):
        load_speech(f"whisper:{folder}")
    document = json.loads((checkpoint / "tokenizer.json").read_text())
    document["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(BackboneUnavailable, match="not that of a Whisper"):
        load_speech(f"whisper:{folder}")


@pytest.mark.slow
def test_real_speech_is_written_down_and_noise_is_not(tmp_path):
    from gaid.backbones.whisper import OFFLINE_PACKAGES
    from gaid.media.speech import hear
    from gaid.versions import not_installed
    from tests.media.test_speech import request

    if not_installed(OFFLINE_PACKAGES) or shutil.which("espeak-ng") is None:
        pytest.skip("needs the extra 'whisper-offline' and espeak-ng")
    wav = tmp_path / "a.wav"
    subprocess.run(["espeak-ng", "-s", "140", "-w", wav, "The train to London leaves at seven o'clock."], check=True)
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    whisper = load_speech("whisper:offline")
    said = whisper.transcribe(hear(request(tmp_path / "a.png", 4.0, audio_path=wav)).sound)
    words = " ".join(one.text for one in said).lower()
    assert {"train", "london", "leaves"} <= {*words.replace(".", "").split()}
    assert 0 <= said[0].start < said[-1].end <= 4.0
    noise = np.random.default_rng(0).standard_normal(5 * 16_000).astype(np.float32) * 0.1
    assert whisper.transcribe(noise) == []
