"""Each benchmark runs in its quick form, and its rivals give what ours gives. No time is looked at."""

import json
from importlib import import_module

import numpy as np
import pytest
import torch

from benchmarks import captions, decode, extract, growth, library, published, search, serve, store, tables, train, trees
from benchmarks.__main__ import main
from benchmarks.features import write_store
from benchmarks.harness import Case, Findings, Goal, Options, Timing
from benchmarks.simulated import Simulation

QUICK = Options(quick=True, threads=1, rounds=1, seed=0)


# WebDataset leaves its files to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_every_layout_gives_back_what_was_written_to_it():
    found = store.run(
        QUICK
    )  # asserts that each rival's arrays equal what was written and that epochs leave no clip out
    written, _, read, _ = found.cases
    assert store.OURS in written.timings
    assert {"npy", "h5py, 50 clips per chunk"} <= set(read.timings)
    assert found.figures["on disk"]["ours.zarr"]["bytes"] >= found.figures["bytes"]


@pytest.mark.slow
def test_a_layout_without_its_package_is_told_not_an_error(monkeypatch):
    monkeypatch.setattr(store, "find_spec", lambda name: None)
    found = store.run(QUICK)
    assert {"webdataset", "zarrs"} <= {note.split()[0] for note in found.notes if "not installed" in note}
    assert not any("tar" in who for case in found.cases for who in case.timings)


@pytest.mark.slow
def test_captions_are_cut_into_open_clips_tokens():
    [case] = captions.run(QUICK).cases
    assert case.error == 0
    assert set(case.timings) == {captions.OURS, captions.PEER}


@pytest.mark.slow
def test_a_folder_is_compared_with_its_library():
    found = library.run(QUICK)  # asserts that nothing is new, and then that what is new is found
    assert [case.name for case in found.cases] == ["2,000 files, as it was", "2,000 files, 10 files new"]


@pytest.mark.slow
def test_a_server_answers_all_of_its_clients():
    found = serve.run(QUICK)
    assert {case.name for case in found.cases} == {
        f"{kind}, 4 clients" for kind in ("search", "thumbnail", "strip", "part of a file")
    }
    assert found.goals[0].met, found.goals[0].found


def test_the_published_loop_has_our_loss_and_gradient(tmp_path, monkeypatch):
    features = write_store(tmp_path / "random.zarr", 24, 16, 4, validation=8)
    noise = torch.rand(16, 16, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(torch, "rand_like", lambda text: noise)
    found = []
    for loss in (lambda head, *batch: head.loss(*batch).total, published.loss):
        head = train.build(features, seed=0).train()
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.add_(0.02 * torch.ones_like(parameter).cumsum(0).sin())
        value = loss(head, *train.first_batch(features, 16, seed=0))
        value.backward()
        of_weights = {name: weight.grad for name, weight in head.named_parameters() if weight.grad is not None}
        found.append((value.detach(), of_weights))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    assert len(found[0][1]) > 20
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], atol=2e-4, rtol=2e-3, msg=name)


@pytest.mark.slow
def test_decoding_in_the_loop_gives_the_losses_of_cached_features():
    found = train.run(QUICK)
    assert found.figures["three numbers"]["largest_difference_of_losses"] <= 1e-5
    assert found.figures["three numbers"]["first_epoch_seconds"] > found.figures["three numbers"]["later_epoch_seconds"]


@pytest.mark.slow
def test_extraction_is_held_beside_both_its_parts(tmp_path):
    found = extract.run(QUICK, tmp_path)  # its decoding asserts that no clip is lost
    one, two = found.cases
    assert {extract.OURS, "decoding, 1 worker", "encoding, 1 thread"} <= set(one.timings)
    assert set(two.timings) == {extract.OURS}
    assert all(case.limit_seconds is not None and case.limit_seconds > 0 for case in found.cases)
    assert len(found.goals) == 2


def test_an_exponent_is_fitted_with_its_interval():
    sizes = (100, 200, 400, 800)
    fit = growth.Fit.of(sizes, [[2e-3 * size**1.5 * (1 + 0.01 * (-1) ** i) for i in range(4)] for size in sizes])
    assert abs(fit.exponent - 1.5) < 0.01
    assert fit.low < 1.5 < fit.high < 1.53


@pytest.mark.slow
def test_every_stage_is_measured_at_four_sizes():
    found = growth.run(QUICK)
    stages = {case.name.split(":")[0] for case in found.cases}
    assert len(stages) == 5
    assert len(found.cases) == 4 * len(stages)
    assert all(case.timings[growth.OURS].median > 0 for case in found.cases)


@pytest.mark.slow
def test_decoders_give_the_same_pictures_before_they_are_timed(tmp_path):
    case, samplings, workers = decode.run(QUICK, tmp_path).cases  # asserts that the pictures are those of each rival
    assert case.error is not None
    assert case.error < decode.SAME
    assert {decode.OURS, "gaid, sound too"} <= set(case.timings)
    assert {decode.OURS, decode.KEYS} <= set(samplings.timings)
    assert {decode.HERE, "gaid, a worker", "gaid, 2 threads"} <= set(workers.timings)


def test_a_decoder_that_gives_other_pictures_is_not_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "peers", lambda *_: {"wrong": lambda: 255 - decode.ours(silent, 360).frames})
    silent = decode.without_sound(decode.make_clip("360p", 12, 1.0, folder=tmp_path))
    with pytest.raises(AssertionError, match="wrong gives other pictures"):
        decode.run(QUICK, tmp_path)


@pytest.mark.slow
def test_a_search_is_held_against_exact_scores_of_all_clips():
    found = search.run(QUICK)
    assert [case.name for case in found.cases] == [f"one sentence, 600 clips, {preset}" for preset in search.HEADS]
    for case in found.cases:
        assert case.about["recall"] > 0.9
        assert {search.OURS, search.EXACT} == set(case.timings)
        assert case.timings[search.EXACT].share <= 1


def test_a_simulated_clip_is_the_same_whenever_it_is_made():
    simulation = Simulation(2500, frames=3, dim=8)
    whole = simulation.frames_of("sound", 0, 2500)
    np.testing.assert_array_equal(whole[2000:2100], simulation.frames_of("sound", 2000, 2100))
    rows = np.array([2400, 7])
    alone = [simulation.latents(row // 1000 * 1000, row + 1)[-1] for row in rows.tolist()]
    np.testing.assert_array_equal(simulation.latents(0, 2500)[rows], alone)


def test_every_benchmark_has_its_place_on_the_page():
    text = tables.PAGE.read_text()
    for name in (*tables.ORDER, *(f"{name}-gpu" for name in tables.ON_A_GPU), "goals"):
        assert "\nfound\n" in tables.put(text, name, "found")


@pytest.mark.slow
@pytest.mark.parametrize("name", tables.ON_A_GPU)
def test_what_a_gpu_is_asked_runs_on_the_cpu_too_and_gives_the_same(name, tmp_path):
    module = import_module(f"benchmarks.{name}")
    found = module.run_on_a_gpu(QUICK, tmp_path) if name == "extract" else module.run_on_a_gpu(QUICK)
    assert found.name == name
    assert found.goals
    assert all(case.error < 1e-5 for case in found.cases if case.error is not None)
    assert all(len(case.timings) > 1 for case in found.cases if name != "extract")


def test_figures_of_a_gpu_name_it_and_stand_apart_from_those_of_the_cpu(tmp_path, monkeypatch):
    of_card = {"device_name": "NVIDIA H100", "commit": None}
    monkeypatch.setattr(
        tables,
        "describe_environment",
        lambda device: {**of_card, "device_name": device.replace("cuda:1", "NVIDIA H100")},
    )
    findings = Findings("score", [Case("gaid, 2 x 2", "gaid", {"gaid": Timing([1.0], 0)})], [Goal("fast", "1 s", True)])
    page = tmp_path / "page.md"
    page.write_text(tables.PAGE.read_text())
    for device in ("cpu", "cuda:1"):
        tables.save(findings, Options(device=device), tmp_path)
    assert json.loads((tmp_path / "score-gpu.json").read_text())["machine"]["device"] == "NVIDIA H100"
    assert json.loads((tmp_path / "score.json").read_text())["machine"]["device"] == "cpu"
    tables.write_page(page, tmp_path)
    of_gpu = page.read_text().partition("<!-- bench score-gpu -->")[2].partition("<!-- end of bench score-gpu -->")[0]
    assert "NVIDIA H100, torch" in of_gpu
    assert "python -m benchmarks score --device cuda" in of_gpu
    assert "| score | fast | 1 s | yes |" in of_gpu


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "--device", "cuda:99"], "device 'cuda:99' can't be used here"),
        (["score", "--device", "abacus"], "--device abacus: not a device"),
        (["writing"], "there is no benchmark writing on cpu; choose of decode, extract"),
        (["score", "--rounds", "0"], "--threads and --rounds are at least 1"),
    ],
)
def test_a_device_or_a_benchmark_that_is_not_there_is_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_a_benchmark_of_the_cpu_alone_is_not_run_on_a_gpu(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.pick_device", lambda name: name)
    with pytest.raises(SystemExit):
        main(["decode", "--device", "cuda"])
    assert "there is no benchmark decode on cuda; choose of extract, score, search, train" in capsys.readouterr().err


def test_trees_are_compared_by_the_least_time_of_each(monkeypatch, tmp_path, capsys):
    times = {"old": iter([2.0, 4.0]), "new": iter([9.0, 3.0])}
    monkeypatch.setattr(trees, "_run_in", lambda tree: {"score": next(times[tree.name])})
    trees.main([str(tmp_path / "old"), str(tmp_path / "new"), "--rounds", "2"])
    assert "| score | 2.000 | 3.000 | 1.50 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_tree_is_measured_in_decoding_and_scoring_by_the_gaid_that_is_there(monkeypatch):
    monkeypatch.setattr(trees, "CALLS", 1)
    monkeypatch.setattr(trees, "FILES", [("360p", 12, 1.0)])
    monkeypatch.setattr(trees, "PRESETS", ("x-pool",))
    found = trees.measure_decoding() | trees.measure_scoring()
    assert set(found) == {
        "decode 360p, a key frame every 12", "decode 360p, a key frame every 12, with sound",
        "score x-pool, 400 x 400", "score x-pool, 1 x 400",
    }  # fmt: skip
    assert min(found.values()) > 0
