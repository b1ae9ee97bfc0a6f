"""The published recipe: a layer of settings between those of the preset and those that are given."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaid import evaluate, export, train
from gaid.errors import OptionInvalid
from gaid.heads import PRESETS
from gaid.training.options import TrainRequest, decide, gather
from gaid.training.recipes import RECIPES

from . import planted

FAST = ("epochs=1", "threads=1")


def store_of(dataset="msrvtt", visual=512, audio=512, text=512):
    """As much of a store as a recipe depends on."""
    return SimpleNamespace(
        audio_clip_token_shape=None, dataset=dataset, visual_dim=visual, audio_dim=audio, text_dim=text
    )


def settings(preset, store=None, *, recipe="published", **request):
    store = store or store_of()
    return decide(gather(TrainRequest(store, preset, recipe=recipe, **request)), store)


@pytest.fixture(scope="module")
def one_size(tmp_path_factory):
    """A store whose embeddings all have the text's size."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VISUAL", "AUDIO"):
            patch.setattr(planted, name, planted.TEXT)
        return planted.write_store(tmp_path_factory.mktemp("stores") / "one_size.zarr")


def test_gaids_recipe_for_msrvtt():
    found = settings("gaid")
    assert (found.recipe, found.protocol, found.lr, found.epochs, found.epoch_of) == (
        "published", "published", 3e-5, 5, "pairs",
    )  # fmt: skip
    assert (found.batch_size, found.weight_decay, found.decayed, found.adam_eps) == (32, 0.2, "all", 1e-6)
    assert found.patience == 0  # all epochs are trained, and validation chooses among them
    published = {"dropout": 0.3, "support_loss_weight": 0.8, "positive_weights": "published", "projections": False}
    assert published.items() <= {**PRESETS["gaid"].head, **found.head}.items()


@pytest.mark.parametrize(
    ("preset", "dataset", "training", "head"),
    [
        ("gaid", "lsmdc", (1e-5, 16, 5), {"dropout": 0.3, "support_loss_weight": 0.5}),
        ("gaid", "didemo", (1e-5, 16, 8), {"dropout": 0.4, "support_loss_weight": 0.0}),
        ("gaid", "vatex", (1e-5, 16, 5), {"dropout": 0.4, "support_loss_weight": 0.0}),
        ("gaid", "my-videos", (3e-5, 32, 5), {"dropout": 0.3, "support_loss_weight": 0.8}),
        ("t-mass", "lsmdc", (1e-5, 32, 5), {"prior": "normal", "support_loss_weight": 0.0}),
        ("t-mass", "didemo", (1e-5, 32, 5), {"dropout": 0.4, "support_loss_weight": 0.0}),
        ("x-pool", "lsmdc", (1e-5, 32, 5), {"dropout": 0.3}),
        ("mean-pool", "msrvtt", (1e-4, 128, 5), {}),
        ("avigate", "msrvtt", (1e-4, 128, 5), {"query_rate": 100.0}),
    ],
)
def test_a_data_set_has_what_its_published_script_sets(preset, dataset, training, head):
    found = settings(preset, store_of(dataset))
    assert (found.lr, found.batch_size, found.epochs) == training
    assert head.items() <= found.head.items()


@pytest.mark.parametrize("preset", RECIPES)
def test_projections_are_learnt_only_where_sizes_differ(preset):
    assert settings(preset).head["projections"] is False
    assert "projections" not in settings(preset, store_of(visual=768)).head
    hears = preset.startswith("gaid")
    assert ("projections" in settings(preset, store_of(audio=768)).head) is not hears


def test_own_settings_are_the_default_and_given_ones_win():
    own = settings("gaid", recipe=None)
    assert (own.recipe, own.lr, own.epoch_of, own.adam_eps) == ("own", 1e-3, "videos", 1e-8)
    assert settings("gaid", recipe="own") == own
    found = settings("gaid", set=("lr=1e-4", "head.dropout=0.1"), config={"epochs": 7}, protocol="query")
    assert (found.lr, found.epochs, found.protocol, found.head["dropout"]) == (1e-4, 7, "query", 0.1)
    assert settings("gaid", recipe=None, set=("recipe=published",)) == settings("gaid")


@pytest.mark.parametrize(
    ("preset", "request_", "words"),
    [
        ("tests.training.planted:Noisy", {}, "has no published recipe; a class of your own brings its settings itself"),
        ("x-poll", {}, "x-poll has no published recipe; did you mean 'x-pool'"),
        ("gaid", {"recipe": "best"}, "argument: recipe = 'best' should be 'own' or 'published'"),
        (
            "gaid",
            {"config": {"recipe": "own"}},
            r"config: is of recipe 'own', but 'published' was asked for \(argument\)",
        ),
    ],
)
def test_a_recipe_that_there_is_not_is_one_line(preset, request_, words):
    with pytest.raises(OptionInvalid, match=words):
        settings(preset, **request_)


@pytest.mark.slow
def test_a_run_records_its_recipe_and_resumes_with_it(store, tmp_path):
    run = train(store, "x-pool", out=tmp_path / "run", recipe="published", set=FAST, progress=False)
    assert (run.config["recipe"], run.config["epoch_of"], run.config["head"]["dropout"]) == ("published", "pairs", 0.3)
    assert run.config["head"]["projections"] is True  # the planted sizes differ
    assert train(store, out=tmp_path / "run", resume=True, progress=False).finished
    with pytest.raises(OptionInvalid, match="run: is of recipe 'published', but 'own' was asked for"):
        train(store, out=tmp_path / "run", recipe="own", resume=True, progress=False)
    again = train(store, config=run.path / "config.toml", out=tmp_path / "again", progress=False)
    assert {**again.config, "store": ""} == {**run.config, "store": ""}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["mean-pool", "x-pool", "t-mass", "gaid", "avigate"])
def test_a_head_by_the_published_recipe_is_evaluated_and_exported(one_size, tmp_path, preset):
    run = train(one_size, preset, out=tmp_path / "run", recipe="published", set=FAST, progress=False)
    assert run.config["head"]["projections"] is False
    assert (run.metrics["steps"] == 0) is (preset == "mean-pool")  # which has nothing to train then
    export(run, out=tmp_path / "vectors.npz")
    with np.load(tmp_path / "vectors.npz", allow_pickle=False) as arrays:
        assert arrays["video_embedding"].shape == (planted.SIZES["test"], planted.TEXT)
        found = evaluate(run)
        np.testing.assert_array_equal(arrays["rank_t2v"], found.ranks["t2v"][0])
    assert "trained by the recipe that its method was published with, not by the preset's own" in found.notes
