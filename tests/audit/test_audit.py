"""What an audit finds where the truth is known: planted features, noise, and runs that hear or don't."""

import json

import numpy as np
import pytest

from gaid import evaluate, open_store, train
from gaid.audit import QUESTIONS, audit
from gaid.audit.leak import ALL, FIRST, NOISE, second_captions
from gaid.audit.pool import of_smaller_gallery
from gaid.audit.seeds import deviation, turns_round
from gaid.audit.sound import CONTROLS
from gaid.errors import OptionInvalid, StoresDisagree
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.ranks import Ranks
from gaid.evaluation.sound_words import named_sounds, phrases
from gaid.stores import StoreWriter
from gaid.stores.convert import plan_of
from tests.training.planted import BACKBONES, write_store

pytestmark = pytest.mark.slow


def figures(section, label, group, column="t2v R@1"):
    return section.line(label, group).values[column]


def test_every_question_has_its_section_and_every_figure_its_interval(whole):
    assert [section.name for section in whole.sections] == list(QUESTIONS)
    for section in whole.sections:
        for line in section.lines:
            for name, one in line.values.items():
                if line.kind == "chance":
                    continue
                assert one.low is not None, (section.name, line.label, name)
                # A median of resampled ranks may jump past the point; the others lie around it.
                assert "MdR" in name or one.low - 1e-9 <= one.value <= one.high + 1e-9, (section.name, line.label, name)
    assert json.loads(json.dumps(whole.to_dict()))["sections"]["leak"]["lines"][0]["kind"] == "main"


def test_the_query_line_is_what_eval_prints(whole, run):
    found = evaluate(run)
    for way in ("t2v", "v2t"):
        one = whole["leak"].line("query", ALL).values[f"{way} R@1"]
        assert one.value == pytest.approx(found.figures[way].values["R@1"])
        assert (one.low, one.high) == pytest.approx(found.figures[way].intervals["R@1"])


def test_an_audit_of_a_head_with_trials_names_the_noise_of_each_protocol(store, tmp_path):
    run = train(
        store,
        "t-mass",
        out=tmp_path / "run",
        set=["epochs=1", "batch_size=50", "head.dim=16", "head.trials=2"],
        progress=False,
    )
    found = audit(run, only=["leak"])
    expected = {"query": "text", "published": "pair", "published-gate": "pair", "published-pooling": "pair"}
    assert found.to_dict()["noise"] == expected
    assert any("under `published` noise drawn anew for each pair" in line for line in found["leak"].findings)


def test_noise_is_chance_under_query_and_far_above_it_under_published(make_noise_run):
    """300 videos of noise, D 64: R@10 is 3.3 by chance (docs/method.md: 36 of 1,000 at D 512 where chance is 1)."""
    section = audit(make_noise_run, only=["leak"])["leak"]
    chance = figures(section, "chance", NOISE, "t2v R@10").value
    assert chance == pytest.approx(100 * 10 / 300)
    for state in ("trained", "untrained"):
        asked = figures(section, f"{state} head, query", NOISE, "t2v R@10")
        assert asked.low <= chance <= asked.high
        assert figures(section, f"{state} head, published", NOISE, "t2v R@10").low > 30
    # These features are noise already, so the leak is the same before noise takes their place.
    assert figures(section, "published", ALL, "change t2v R@10").low > 30
    assert figures(section, "published-pooling", ALL, "change t2v R@10").low > 30
    assert "nothing can leak" not in " ".join(section.findings)


@pytest.fixture(scope="module")
def make_noise_run(tmp_path_factory):
    """x-pool as it starts (no epochs) on features that hold nothing, with a test part of 300 videos."""
    from tests.conftest import write_store as write_noise

    folder = tmp_path_factory.mktemp("noise")
    plain = write_noise(folder / "noise.zarr", videos=300)
    rows = list(range(300))
    plan = plan_of(plain)
    plan = type(plan)(**{**vars(plan), "splits": {"main": {"train": rows, "val": rows[:20], "test": rows}}})
    with StoreWriter.open(folder / "split.zarr", plan) as writer:
        writer.write_shard(
            0, {name.removeprefix("videos/"): plain[name][:] for name in plain.arrays.names() if name.startswith("videos/")
                and not name.startswith("videos/id")}, [],
        )  # fmt: skip
        writer.write_captions(plain["captions/embedding"][:], plain["captions/tokens"][:])
        writer.finish()
    return train(folder / "split.zarr", "x-pool", out=folder / "run", set=["epochs=0"], progress=False)


def test_nothing_leaks_under_query_whatever_the_other_texts_are(whole):
    (line,) = [line for line in whole["leak"].findings if line.startswith("query protocol")]
    assert "no video has read a caption" in line


def test_a_head_whose_videos_read_the_other_texts_is_caught(store, tmp_path):
    heads = tmp_path / "leaky.py"
    heads.write_text(
        "import torch\nfrom torch import nn\nfrom torch.nn.functional import normalize\n"
        "class Leaky(nn.Module):\n"
        "    def __init__(self, visual_dim, audio_dim, text_dim, dim, frames):\n"
        "        super().__init__()\n        self.visual = nn.Linear(visual_dim, text_dim)\n"
        "    def loss(self, text, visual, audio, audio_mask, same=None):\n        return self.visual(visual).sum() * 0\n"
        "    def score(self, text, visual, audio, audio_mask=None, **_):\n"
        "        text = text.float()\n"
        "        return normalize(text, dim=-1) @ normalize(self.visual(visual.float()).mean(1) + text.mean(0), dim=-1).T\n"
    )
    leaky = train(store, f"{heads}:Leaky", out=tmp_path / "run", set=["epochs=1"], progress=False)
    assert "SCORES DEPEND ON OTHER TEXTS" in audit(leaky, only=["leak"])["leak"].findings[0]


def test_a_mean_of_frames_has_nothing_that_could_leak(store, tmp_path):
    mean = train(store, "mean-pool", out=tmp_path / "run", set=["epochs=1"], progress=False)
    section = audit(mean, only=["leak"])["leak"]
    for name, one in PROTOCOLS.items():
        if one.gallery_reads_captions:
            assert figures(section, name, ALL, "change t2v MnR").value == 0
    assert "nothing can leak" in section.findings[-1]


def test_the_second_caption_is_another_one_of_the_same_video():
    class Given:
        owner, videos = np.array([2, 0, 0, 1, 2, 2, 0]), 3

    assert second_captions(Given).tolist() == [2, -1, 4]


def test_whose_caption_the_gallery_reads_is_told_apart(whole):
    labels = [line.label for line in whole["leak"].lines if line.group == FIRST]
    assert labels[1:] == [
        "the caption that asks (published)",
        "another caption of the same video",
        "a caption of another video",
    ]


def test_the_checkpoint_chosen_on_test_is_never_worse_there_and_the_same_training_gives_the_same(whole, run):
    section = whole["selection"]
    chosen = section.line("chosen on test (best of all)").values
    assert chosen["change t2v R@1"].value >= 0
    assert (
        section.line("chosen on validation").values["t2v R@1"].value
        == whole["leak"].line("query", ALL).values["t2v R@1"].value
    )


def test_a_run_without_its_evaluations_is_trained_again_to_the_same_or_left_unmeasured(store, tmp_path):
    plain = train(store, "x-pool", out=tmp_path / "run", set=["epochs=2", "batch_size=20"], progress=False)
    section = audit(plain, only=["selection"])["selection"]
    assert "--retrain" in section.unmeasured
    assert section.lines == []
    section = audit(plain, only=["selection"], retrain=True)["selection"]
    assert "the same step and validation figures were best for every seed" in section.notes[0]
    assert (tmp_path / "run" / "audit" / "kept" / "config.toml").exists()


def test_a_head_of_patch_tokens_is_audited_on_patch_tokens(tmp_path):
    """Each patch here is its frame: noise must take the place of the patches too, or the head would still find them."""
    store = write_store(tmp_path / "patches.zarr", parts={"train": 80, "val": 16, "test": 60}, patches=2)
    trained = train(
        store, "gaid-token", out=tmp_path / "run", set=["epochs=15", "batch_size=40", "lr=5e-3"], progress=False
    )
    found = audit(trained, only=["leak", "audio"])
    chance = figures(found["leak"], "chance", NOISE, "t2v MnR").value
    assert figures(found["leak"], "query", ALL, "t2v MnR").high < 0.85 * chance
    noise = figures(found["leak"], "trained head, query", NOISE, "t2v MnR")
    assert noise.low <= chance <= noise.high
    assert found["audio"].lines


def test_one_query_at_a_time_a_second_softmax_changes_nothing(whole):
    for group in dict.fromkeys(line.group for line in whole["dual-softmax"].lines):
        line = whole["dual-softmax"].line("one query at a time", group)
        assert all(one.value == 0 for name, one in line.values.items() if name.startswith("change"))


def test_the_published_second_softmax_helps_texts_alone(run):
    """One caption per video: over texts it is the same text to video, and leaves video to text as it was."""
    section = audit(run, only=["dual-softmax"], seeds=1)["dual-softmax"]
    group = "one caption per video asks, as published"
    published = section.line("as published: over texts, both ways", group).values
    every = section.line("100% of the queries at once", group).values
    assert published["t2v MnR"] == every["t2v MnR"]
    assert published["change v2t R@1"].value == 0
    assert published["change t2v MnR"].value != 0
    assert any("for both directions: video to text +0.0" in line for line in section.findings)


def test_other_clips_sound_costs_a_head_that_hears_and_nothing_else_is_said_of_one_that_does_not(whole, deaf, work):
    section = whole["audio"]
    assert figures(section, "another clip's sound", "changed at test only", "change t2v R@1").high < 0
    for name, label in CONTROLS.items():
        if name != "silence":
            control = evaluate(work / name)
            found = figures(section, label, "trained and tested so")
            assert found.value == pytest.approx(control.figures["t2v"].values["R@1"])
            assert f"audio={name}" in control.notes[0]
    assert {line.group for line in section.lines} == {"changed at test only", "trained and tested so"}
    assert any("its parameters'" in line for line in section.findings)
    silent = audit(deaf, only=["audio", "alignment"])
    assert all("takes no audio" in section.unmeasured and not section.lines for section in silent.sections)


def test_published_sampling_is_measured_on_a_second_store_of_the_same_clips_only(run, store, tmp_path):
    same = audit(run, only=["alignment"], published_sampling=store)["alignment"]
    line = same.line("published sampling, at test only").values
    assert line["change t2v R@1"].value == 0
    other = write_store(tmp_path / "other.zarr", parts={"train": 40, "val": 16, "test": 50})
    with pytest.raises(StoresDisagree, match="not the same 60; figures can be compared on the same videos"):
        audit(run, only=["alignment"], published_sampling=other)


def test_a_smaller_gallery_is_what_draws_of_it_give_in_the_mean(rng):
    table = rng.integers(1, 41, (1, 40)).astype(float)
    found = of_smaller_gallery(Ranks({"t2v": table}, {"t2v": np.arange(40)}, 40), 10)
    drawn = []
    for _ in range(4000):
        query = rng.integers(40)
        others = rng.choice(39, 9, replace=False) + 1  # the other 39 by their order; those below the rank are better
        drawn.append((others < table[0, query]).sum() < 5)
    assert found["t2v R@5"].value == pytest.approx(100 * np.mean(drawn), abs=2.5)
    whole = of_smaller_gallery(Ranks({"t2v": table}, {"t2v": np.arange(40)}, 40), 40)
    assert whole["t2v R@5"].value == pytest.approx(100 * (table <= 5).mean())


def test_rankings_turn_round_as_often_as_pairs_do():
    def ranks(*recalls):
        rows = [np.where(np.arange(1000) < 10 * recall, 1.0, 2.0) for recall in recalls]
        return Ranks({"t2v": np.stack(rows)}, {"t2v": np.arange(1000)}, 1000)

    (turned, pairs), drawn = turns_round(ranks(60, 50, 70), ranks(55, 56, 10))
    assert (turned, pairs) == (2, 9)
    assert 0.18 < drawn < 0.27
    assert turns_round(ranks(90), ranks(10))[1] == 0
    assert turns_round(ranks(50), ranks(50))[1] == pytest.approx(0.5)


def test_the_spread_of_three_trainings_has_a_wide_interval():
    # Chi-square by hand: sd * sqrt(2 / 7.3778) to sd * sqrt(2 / 0.050636).
    found = deviation(np.array([50.0, 51.0, 52.0]))
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 0.5207, 6.2847), rel=1e-3)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("two dogs are barking at a car", {"dog", "bark", "car"}),
        ("a child plays the acoustic guitars", {"acoust guitar", "guitar"}),
        ("someone is walking inside", set()),
        ("a yellow triangle in silence", set()),
        ("an ambulance with its siren on", {"ambul", "siren"}),
    ],
)
def test_sounds_are_known_by_their_names_in_any_form(caption, expected):
    assert set(named_sounds(caption)) == expected


def test_the_names_are_audiosets():
    assert ("speech",) in phrases()
    assert len(phrases()) > 500


def test_captions_that_name_no_sound_are_not_compared(whole):
    assert "there is nothing to compare" in whole["captions"].unmeasured


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"only": ["leek"]}, OptionInvalid, "did you mean 'leak'"),
        ({"memory": "much"}, OptionInvalid, "--memory"),
        ({"seeds": 0}, OptionInvalid, "--seeds"),
        ({"split": "tset"}, OptionInvalid, "tset"),
        ({"device": "cuda:77"}, OptionInvalid, "cuda:77"),
        ({"published_sampling": "nowhere.zarr"}, FileNotFoundError, "nowhere.zarr: no store there"),
        ({"against": ["nowhere"]}, FileNotFoundError, "nowhere: no such run"),
    ],
)
def test_an_option_that_can_not_be_is_one_line_that_names_it(run, options, error, words):
    with pytest.raises(error) as caught:
        audit(run, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_of_other_backbones_is_refused(run, tmp_path):
    store = write_store(tmp_path / "other.zarr", backbones={**BACKBONES, "visual": {"name": "other eye"}})
    with pytest.raises(StoresDisagree, match="other eye"):
        audit(run, store=open_store(store))
