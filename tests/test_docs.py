"""The documentation does what it says: its Python runs block after block, and its prose is wrapped evenly."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from gaid.backbones import load_visual
from tests import media_maker
from tests.training import planted

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
WIDTH = 120
# Written by programs: the commands' page, and tables between markers.
GENERATED = {"cli.md"}


def blocks(page: Path) -> list[str]:
    """The page's blocks of Python, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.S)


def run(code: list[str], page: Path) -> dict[str, object]:
    """What the names of the blocks are after they ran one after the other."""
    names: dict[str, object] = {}
    for block in code:
        exec(compile(block, str(page), "exec"), names)
    return names


def prose(page: Path) -> list[tuple[int, str]]:
    """The page's lines with their numbers, without what is not wrapped: code, tables, pictures, the benchmarks' notes."""
    kept, fenced = [], False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fenced ^= line.startswith(("```", "<!-- bench", "<!-- end of bench"))
        if not fenced and not line.startswith(("|", "    ", "![", ":::")):
            kept.append((number, line))
    return kept


def write_videos(folder: Path) -> None:
    """Six short videos and a table that captions them and names their parts."""
    folder.mkdir()
    parts = ["train", "train", "train", "train", "val", "test"]
    for number in range(len(parts)):
        media_maker.write_video(folder / f"{number}.mp4", frames=12, seed=number)
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("video", "caption", "split"))
        table.writerows((f"{number}.mp4", f"number {number}", part) for number, part in enumerate(parts))


@pytest.mark.slow
def test_every_block_of_the_page_for_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stores").mkdir()
    planted.write_store(tmp_path / "stores" / "demo-tiny.zarr")
    page = ROOT / "docs" / "python.md"
    assert len(blocks(page)) >= 6
    found = run(blocks(page), page)
    assert found["weights"]
    assert found["scores"].shape == (len(found["test"].caption_ids), 12)
    # What is written for other programs is what the head says in the block before.
    assert np.allclose(found["scores"], found["exact"].detach(), atol=1e-6)


@pytest.mark.slow
def test_the_block_of_the_readme_runs_on_a_folder_of_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_videos(tmp_path / "videos")
    page = ROOT / "README.md"
    # The encoders `tiny` start at once everywhere; those of the page need an extra and half a minute.
    found = run([block.replace('"offline"', '"tiny"') for block in blocks(page)], page)
    assert found["hit"].video in {str(number) for number in range(6)}


def test_the_encoder_and_the_data_set_of_the_page_for_extending_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "extending.md"
    encoder, _ = blocks(page)
    Path("my_encoder.py").write_text(encoder)
    frames = np.full((2, 12, 32, 32, 3), 255, np.uint8)
    assert np.array_equal(load_visual("my_encoder.py:MeanColour").encode_frames(frames), np.ones((2, 12, 3)))
    assert run(blocks(page), page)["data"].counts()["mine"]["train"]["captions"] == 1


def test_the_links_of_the_readme_lead_to_files():
    # Those of docs/ are checked where the site is built (`make check`).
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_section_of_the_method_that_a_docstring_cites_exists():
    sections = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "method.md").read_text(), re.M))
    cited = {
        number
        for folder in ("gaid", "tests", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
        for words in re.findall(r"method(?:\.md)?,\s+sections?\s+((?:\d+|\s|,|to|and)+)", file.read_text())
        for number in re.findall(r"\d+", words)
    }
    assert len(cited) > 6
    assert cited <= sections


def test_the_tests_that_hold_a_promise_exist():
    named = re.findall(r"`(tests/\S+)`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in GENERATED], ids=lambda page: page.name)
def test_prose_is_wrapped(page):
    long = [number for number, line in prose(page) if len(line) > WIDTH and " " in line.strip("*> ")]
    assert not long, f"{page.name}: lines {long} are longer than {WIDTH}"
