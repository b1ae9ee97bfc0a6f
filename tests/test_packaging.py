"""What is installed: a wheel with every file of the package, and an editable install that every folder and type checker finds."""

import io
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BACKEND = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["build-backend"]


def build(kind: str, folder: Path) -> Path:
    """What the project's build backend makes, by the hook's name; in a process of its own, as pip does it."""
    code = f"import sys, {BACKEND} as backend; print(backend.build_{kind}(sys.argv[1]))"
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return folder / made.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def package_files() -> set[str]:
    files = (path for path in (ROOT / "gaid").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == package_files()
    for needed in (
        "gaid/py.typed",
        "gaid/report/templates/base.html",
        "gaid/report/templates/style.css",
        "gaid/paper/data/published.toml",
        "gaid/paper/templates/paper_table.html",
        "gaid/evaluation/data/audioset_classes.csv",
    ):
        assert needed in names


def test_the_wheel_brings_the_command_and_the_licence(wheel):
    archive = zipfile.ZipFile(wheel)
    info = {name.partition("/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    assert "gaid = gaid.cli:main" in archive.read(info["entry_points.txt"]).decode()
    assert archive.read(info["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_the_source_archive_builds_and_holds_no_data(tmp_path):
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert package_files() <= names
    assert {"README.md", "LICENSE", "Makefile", "constraints.txt", "pyproject.toml", "tests/test_packaging.py"} <= names
    tops = {name.split("/")[0] for name in names}
    assert not tops & {"data", "stores", "runs", "reports", ".venv", ".venv-lowest", ".venv-latest", ".git"}


@pytest.fixture(scope="module")
def editable(tmp_path_factory):
    """A folder as site-packages is after `pip install -e .`, but for the packages that gaid needs."""
    folder = tmp_path_factory.mktemp("editable")
    with zipfile.ZipFile(io.BytesIO(build("editable", folder).read_bytes())) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_an_editable_install_is_found_from_the_folder_above_the_checkout(tmp_path, editable):
    """There `gaid` is the checkout itself, a folder without __init__.py, which Python takes for a namespace package."""
    (tmp_path / "gaid").symlink_to(ROOT)
    code = "import site, sys; site.addsitedir(sys.argv[1]); import gaid; print('train' in dir(gaid), gaid.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # -S leaves out this interpreter's site-packages, where gaid may be installed in another way.
    found = subprocess.run(
        [sys.executable, "-S", "-c", code, str(editable)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == ["True", str(ROOT / "gaid" / "__init__.py")], found.stderr


def test_type_checkers_follow_an_editable_install(editable):
    """They read .pth files with plain paths, and run none of the code of import hooks."""
    lines = [line for file in editable.glob("*.pth") for line in file.read_text().splitlines() if line.strip()]
    assert lines == [str(ROOT)]
