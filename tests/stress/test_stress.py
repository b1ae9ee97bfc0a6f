"""`gaid stress`: curves of planted heads, what forcing a gate does, and what is refused."""

import copy
import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from gaid.errors import OptionInvalid
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.scoring import score_all
from gaid.files import write_json
from gaid.heads import build_head
from gaid.heads.features import Features
from gaid.heads.perturbation import Perturbation
from gaid.runs import load_run
from gaid.runs.files import CONFIG, write_checkpoint
from gaid.stress import NAMES, probes, stress
from gaid.stress.dasp import correlation, resampled
from gaid.stress.faults import FAULTS
from tests.conftest import DIM, write_store

pytestmark = pytest.mark.slow

BUDGET = 2**28


def write_run(path, store, preset, *, listen=None, alpha=None, **options):
    """A finished run whose head is as built, but for a bias of its gate (`listen`) and its alpha."""
    torch.manual_seed(0)
    sizes = {"visual_dim": store.visual_dim, "audio_dim": store.audio_dim, "text_dim": store.text_dim}
    head = build_head(preset, **{**sizes, "frames": store.frames, **options})
    with torch.no_grad():
        if listen is not None:
            head.gate.linear.weight.mul_(0.01)
            head.gate.linear.bias.fill_(listen)
        if alpha is not None:
            head.perturbation.alpha.fill_(alpha)
    path.mkdir()
    (path / CONFIG).write_text(
        f'preset = "{preset}"\nseed = 0\nseeds = 1\nstore = "{store.path}"\nsplit_protocol = "main"\n'
    )
    about = {"fingerprint": store.fingerprint, "backbones": store.attrs["backbones"]}
    described = {"head": {"preset": preset, "arguments": head.config}, "store": about, "seed": 0, "step": 1}
    write_checkpoint(path / "checkpoints" / "best.safetensors", head.state_dict(), described)
    write_json(path / "metrics.json", {"finished": True})
    return load_run(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("stress") / "noise.zarr", videos=24, captions=2, signal=0.7, silent=3)


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "gaid": write_run(folder / "gaid", store, "gaid", listen=0.0, alpha=0.5),
        "x-pool": write_run(folder / "x-pool", store, "x-pool"),
    }


@pytest.fixture(scope="module")
def results(runs, store):
    return stress(runs["gaid"], against=[runs["x-pool"]], progress=False)


def scores(head, features, split):
    return score_all(head, features, split.caption_video, PROTOCOLS["query"], memory=BUDGET)


def test_every_fault_has_a_curve_with_intervals_for_every_head_that_it_applies_to(results):
    found = {one.name: one for one in results.findings}
    assert set(found) == set(FAULTS) | {"alpha", "direction", "gate"}  # captions: the store's backbone is not at hand
    assert "faults of the captions are left out" in results.notes[-1]
    assert "no backbone is named 'shared'" in results.notes[-1]
    for finding in results.findings:
        heads = [curve.head for curve in finding.curves]
        assert heads == (["gaid"] if finding.kind == "head" else ["gaid", "x-pool"])
        for curve in finding.curves:
            for point in curve.points:
                low, high = point.figures.intervals["R@1"]
                assert low <= point.figures.values["R@1"] <= high
            assert curve.points[0].difference["R@1"] == 0
            assert curve.points[0].spread["R@1"] == (0, 0)
    assert found["gate"].not_applicable == {"x-pool": "has no gate of this kind"}
    assert set(found["alpha"].not_applicable) == set(found["direction"].not_applicable) == {"x-pool"}


def test_a_head_that_hears_nothing_does_not_mind_the_sound(results):
    for name, fault in FAULTS.items():
        if fault.touches == "audio":
            deaf = results.finding(name).curves[1]
            assert {point.difference["MnR"] for point in deaf.points} == {0}
    assert results.finding("missing").curves[0].points[-1].difference["MnR"] != 0


def test_the_run_is_held_against_the_others_at_every_strength(results):
    gaid, other = results.finding("missing").curves
    for mine, theirs in zip(gaid.points, other.points, strict=True):
        value, low, high = mine.lead["x-pool"]
        assert value == pytest.approx(mine.figures.values["R@1"] - theirs.figures.values["R@1"])
        assert low <= value <= high
        assert not theirs.lead


def test_where_the_run_is_below_another_head_is_told_if_the_interval_leaves_0_out(results):
    from gaid.report.stress import behind, headline

    finding = copy.deepcopy(results.finding("missing"))
    for point in finding.curves[0].points:
        point.lead = {"x-pool": (-2.0, -5.0, 1.0)}
    lone = dataclasses.replace(results, findings=[finding])
    assert behind(lone) == []
    finding.curves[0].points[-1].lead = {"x-pool": (-6.0, -9.0, -2.0)}
    assert behind(lone) == ["clips without sound: below x-pool at 100 %; at 100 % by −6.0 points (−9.0 to −2.0)"]
    finding.curves[0].points[0].lead = {"x-pool": (8.0, 4.0, 12.0)}
    assert headline(lone) == "gaid leads x-pool on clean data and falls below under 1 of 1 faults."


def test_a_head_that_is_better_when_all_is_well_is_told_once_and_then_where_it_fails(results):
    from gaid.report.stress import behind

    finding = copy.deepcopy(results.finding("missing"))
    for point in finding.curves[0].points:
        point.lead = {"x-pool": (-5.0, -8.0, -2.0)}
    finding.curves[0].points[-1].lead = {"x-pool": (9.0, 5.0, 12.0)}
    assert behind(dataclasses.replace(results, findings=[finding])) == [
        "below x-pool on clean data, by −5.0 points (−8.0 to −2.0)",
        "clips without sound: above x-pool at 100 %; at 100 % by +9.0 points (+5.0 to +12.0)",
    ]


def test_missing_sound_everywhere_scores_as_a_gate_forced_to_0(results):
    missing = results.finding("missing").curves[0].points[-1]
    forced = next(point for point in results.finding("gate").curves[0].points if point.label == "0")
    assert missing.figures.values == forced.figures.values


def test_what_is_found_is_the_same_every_time_and_another_under_another_seed(runs, results):
    again = stress(runs["gaid"], against=[runs["x-pool"]], faults=["noise", "direction"], progress=False)
    for name in ("noise", "direction"):
        mine = [point.to_dict() for point in again.finding(name).curves[0].points]
        assert mine == [point.to_dict() for point in results.finding(name).curves[0].points]
    other = stress(runs["gaid"], faults=["noise"], seed=1, progress=False)
    values = [point.figures.values for point in other.finding("noise").curves[0].points]
    assert values != [point.figures.values for point in results.finding("noise").curves[0].points]


def test_results_are_json_a_table_and_a_page_with_figures(results, tmp_path):
    from gaid.report.stress import write_files

    results = dataclasses.replace(
        results, findings=[results.finding(name) for name in ("noise", "late", "alpha", "gate")]
    )
    files = write_files(results, tmp_path / "out")
    assert {path.name for path in files} >= {"stress.html", "stress.csv", "stress.json", "noise.png", "gate.png"}
    told = json.loads((tmp_path / "out" / "stress.json").read_text())
    assert told["faults"]["noise"]["curves"]["gaid"][0]["label"] == "clean"
    assert told["faults"]["noise"]["curves"]["gaid"][0]["strength"] is None
    rows = list(csv.DictReader((tmp_path / "out" / "stress.csv").read_text().splitlines()))
    assert len(rows) == sum(len(curve.points) for one in results.findings for curve in one.curves)
    assert float(rows[0]["R@1 low"]) <= float(rows[0]["R@1"]) <= float(rows[0]["R@1 high"])
    page = (tmp_path / "out" / "stress.html").read_text()
    assert page.count("<svg") == len(results.findings)
    assert "Not applicable to x-pool, which has no gate of this kind" in page
    assert "<script" not in page
    assert (tmp_path / "out" / "noise.png").read_bytes().startswith(b"\x89PNG")


# Probes


@pytest.fixture
def head(runs):
    return runs["gaid"].load_head()


@pytest.fixture
def split(store):
    return store.split("test")


@pytest.mark.parametrize("algorithm", ["folded", "direct"])
def test_a_gate_forced_to_0_is_the_picture_alone(head, split, algorithm):
    features = Features.of(split, "cpu")
    forced = copy.deepcopy(head)
    probes.force_gate(forced, 0.0)
    deaf = torch.zeros_like(features.audio_mask)
    inputs = (features.text, features.visual, features.audio)
    expected = head.score(*inputs, deaf, algorithm=algorithm)
    torch.testing.assert_close(forced.score(*inputs, features.audio_mask, algorithm=algorithm), expected)
    assert not torch.equal(head.score(*inputs, features.audio_mask, algorithm=algorithm), expected)


def test_a_forced_gate_is_that_everywhere_but_where_there_is_no_sound(head, split):
    features = Features.of(split, "cpu")
    for value in (0.0, 0.3, 1.0):
        forced = copy.deepcopy(head)
        probes.force_gate(forced, value)
        gate = forced.explain(features.text, features.visual, features.audio, features.audio_mask).gate
        torch.testing.assert_close(gate, (value * features.audio_mask).expand(gate.shape).float())


def test_the_gates_of_patch_tokens_are_forced_too():
    torch.manual_seed(0)
    head = build_head("gaid-token", visual_dim=8, audio_dim=8, text_dim=8, frames=3)
    text, patches, audio = torch.randn(4, 8), torch.randn(5, 3, 6, 8), torch.randn(5, 3, 8)
    heard = torch.ones(5, 3, dtype=torch.bool)
    heard[0, 1] = False
    deaf = head.score(text, patches, audio, torch.zeros_like(heard))
    probes.force_gate(head, 0.0)
    torch.testing.assert_close(head.score(text, patches, audio, heard), deaf)
    probes.force_gate(head, 0.25)
    gate = head.explain(text, patches, audio, heard).gate
    torch.testing.assert_close(gate, (0.25 * heard).expand(gate.shape))


def test_the_mean_gate_is_that_of_captions_with_their_own_clips(head, split):
    features = Features.of(split, "cpu")
    gate = head.explain(features.text, features.visual, features.audio, features.audio_mask).gate.numpy()
    own = gate[np.arange(len(split.text)), split.caption_video]
    expected = own[split.audio_mask[split.caption_video]].mean()
    assert probes.mean_gate(head, features, split.caption_video) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("algorithm", ["folded", "direct"])
def test_a_turned_direction_is_as_far_from_the_text_and_elsewhere(head, split, algorithm):
    features = Features.of(split, "cpu")
    inputs = (features.text, features.visual, features.audio, features.audio_mask)
    turned = copy.deepcopy(head)
    probes.turn_direction(turned)
    text = head.embed_text(features.text)
    noise = turned.perturbation.trial_noise(0, len(text), None).of_texts(0, len(text), text.dtype)
    assert noise.shape == (len(text), 1, DIM)
    assert set(noise.abs().unique().tolist()) == {0.5}
    assert abs(float(noise.mean())) < 0.1
    folded = turned.score(*inputs, algorithm=algorithm)
    assert not torch.allclose(folded, head.score(*inputs, algorithm=algorithm), atol=1e-3)
    torch.testing.assert_close(folded, turned.score(*inputs, algorithm="direct"), atol=2e-5, rtol=0)


def test_alpha_as_trained_changes_nothing_and_0_is_no_perturbation(head, split):
    features = Features.of(split, "cpu")
    still = copy.deepcopy(head)
    probes.set_alpha(still, probes.alpha(head))
    np.testing.assert_array_equal(scores(still, features, split), scores(head, features, split))
    probes.set_alpha(still, 0.0)
    plain = copy.deepcopy(head)
    plain.perturbation = Perturbation()
    np.testing.assert_allclose(scores(still, features, split), scores(plain, features, split), atol=1e-6)


def test_the_length_of_std_is_that_of_the_perturbation_itself(head, split):
    features = Features.of(split, "cpu")
    lengths = probes.own_deviation(head, features, split.caption_video)
    text = head.embed_text(features.text)
    seen, heard, mask = head.project_videos(*features.videos(torch.from_numpy(split.caption_video)))
    gate = head.gate(text, seen, heard, mask)[torch.arange(len(text)), torch.arange(len(text))]
    fused = torch.lerp(seen, heard, gate[..., None])
    expected = head.perturbation.deviation(text, fused).exp().norm(dim=-1)
    np.testing.assert_allclose(lengths, expected.detach().numpy(), rtol=1e-4)


def test_dasp_helps_hurts_or_leaves_every_query(results):
    (effect,) = results.dasp
    assert effect.head == "gaid"
    assert effect.alphas == [0.5]
    assert sum(effect.shares.values()) == pytest.approx(100)
    assert all(low <= effect.shares[name] <= high for name, (low, high) in effect.intervals.items())
    assert "length of std" in effect.correlations
    assert "words in the caption" not in effect.correlations  # all captions have the same number here


def test_a_correlation_has_an_interval_that_draws_whole_videos():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    hidden = np.repeat(rng.normal(size=60), 4)
    first, second = hidden + rng.normal(size=240), hidden + rng.normal(size=240)
    times = resampled(np.repeat(np.arange(60), 4), seed=0)
    value, low, high = correlation(first, second, times)
    assert value == pytest.approx(spearmanr(first, second).statistic)
    assert low < value < high
    alone = resampled(np.arange(240), seed=0)
    assert correlation(first, second, alone)[2] - correlation(first, second, alone)[1] < high - low
    assert all(np.isnan(correlation(np.zeros(240), second, times)))


# What is refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"faults": ["nose"]}, "did you mean 'noise'"),
        ({"media": True}, "not a data set whose files can be found"),
        ({"media": True, "clips": 1}, "--clips 1"),
        ({"split": "tset"}, "tset"),
        ({"memory": "much"}, "--memory"),
    ],
)
def test_an_option_that_can_not_be_is_one_line(runs, options, said):
    with pytest.raises(OptionInvalid) as caught:
        stress(runs["gaid"], progress=False, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_faults_of_sound_are_left_out_where_hardly_a_clip_has_any(runs, tmp_path):
    quiet = write_store(tmp_path / "quiet.zarr", videos=12, captions=1, signal=0.7, silent=11)
    results = stress(runs["gaid"], store=quiet, faults=["noise", "dropped"], progress=False)
    assert [one.name for one in results.findings] == ["dropped"]
    assert any("1 of 12 clips have any" in note for note in results.notes)


def test_all_names_are_known_and_none_is_twice():
    assert len(set(NAMES)) == len(NAMES) == 18
