"""Heads on a split, opened by every command that ranks: the same heads, read once, with the same sound, on the same basis."""

from collections import Counter

import pytest

from gaid import evaluate, export, train
from gaid.audit import audit, compare
from gaid.errors import OptionInvalid
from gaid.evaluation.basis import RANDOM_WEIGHTS
from gaid.evaluation.bench import open_bench
from gaid.runs import Run
from gaid.stress import stress
from tests.conftest import write_store as write_noise
from tests.stress.test_stress import write_run
from tests.training.planted import write_store

QUICK = ["epochs=1", "patience=0", "head.dim=8"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("bench") / "planted.zarr")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    """Two seeds."""
    return train(store, "gaid", out=tmp_path_factory.mktemp("runs") / "gaid", seeds=2, set=QUICK, progress=False)


@pytest.fixture(scope="module")
def control(store, tmp_path_factory):
    """Trained with another clip's sound."""
    out = tmp_path_factory.mktemp("runs") / "shuffled"
    return train(store, "gaid", out=out, set=[*QUICK, "audio=shuffled"], progress=False)


@pytest.mark.slow
def test_every_command_rests_a_figure_on_the_same_basis(run):
    basis = evaluate(run).basis
    assert (basis.preset, basis.run, basis.seeds, basis.split) == ("gaid", str(run.path), [0, 1], "test")
    assert audit(run, only=["seeds"]).basis == basis
    assert compare(run, run).bases == (basis, basis)
    assert stress(run, faults=["gate"], progress=False).basis == basis


def test_a_basis_says_which_seeds_took_part(run):
    assert audit(run, only=["seeds"], seeds=1).basis.seeds == [0]


def test_every_head_is_read_once_whatever_is_measured(run, tmp_path, monkeypatch):
    read = Counter()
    plain = Run.load_head

    def counted(self, *arguments, **options):
        read[self.seed] += 1
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Run, "load_head", counted)
    evaluate(run, protocol="published", dual_softmax="published", index="faiss", save_ranks=tmp_path / "ranks.trec")
    assert read == {0: 1, 1: 1}


def test_heads_beside_one_another_have_their_features_in_common(run, control):
    bench = open_bench(run)
    assert bench.beside(run).features() is bench.features()
    assert bench.beside(control).features() is not bench.features()  # it hears another clip's sound
    assert bench.on(bench.split).features() is not bench.features()


def test_a_control_hears_under_stress_what_it_heard_in_training(control):
    results = stress(control, faults=["noise"], progress=False)
    assert "a control: trained with audio=shuffled, and evaluated so" in results.notes[0]
    clean = results.finding("noise").curves[0].points[0]
    assert clean.figures.values == evaluate(control).figures["t2v"].values


@pytest.mark.slow
def test_random_weights_are_said_by_every_command(tmp_path):
    store = write_noise(tmp_path / "noise.zarr", videos=12, random=True)
    run = write_run(tmp_path / "run", store, "gaid")
    found = [
        evaluate(run),
        audit(run, only=["seeds"]),
        compare(run, run),
        stress(run, faults=["gate"], progress=False),
        export(run, out=tmp_path / "vectors.npz"),
    ]
    assert [one.notes[0] for one in found] == [RANDOM_WEIGHTS] * len(found)


def test_all_clips_are_no_part_that_can_be_evaluated_on(store):
    with pytest.raises(OptionInvalid, match="'clips'"):
        evaluate(store=store, preset="mean-pool", split="clips")
