"""The Dockerfile, as far as it can be judged without a daemon: what it names exists, its base is fixed, its user has no rights."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in re.sub(r"\\\n", " ", TEXT).splitlines() if line.strip() and not line.startswith("#")]
STEPS = [tuple(line.split(maxsplit=1)) for line in LINES]
ARGUMENTS = {
    name: value.strip('"') for kind, rest in STEPS if kind == "ARG" for name, _, value in [rest.partition("=")] if value
}


def of(kind: str) -> list[str]:
    return [rest for step, rest in STEPS if step == kind]


def test_only_known_instructions_are_used():
    known = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "ENTRYPOINT", "CMD"}
    assert {kind for kind, _ in STEPS} <= known


def test_there_is_a_stage_for_the_cpu_and_one_for_cuda_on_a_base_with_a_fixed_tag():
    stages: dict[str, str] = {}
    for line in of("FROM"):
        base, _, name = line.partition(" AS ")
        assert base in stages or re.fullmatch(
            r"python:\d+\.\d+\.\d+-slim-\w+", base.replace("${PYTHON}", ARGUMENTS["PYTHON"])
        )
        stages[name] = base
    assert {"cpu", "cuda"} < set(stages)
    version = tuple(map(int, ARGUMENTS["PYTHON"].split("-")[0].split(".")))
    assert (3, 11) <= version < (3, 14)


def test_every_path_that_is_copied_exists_and_is_not_ignored():
    patterns = [one for one in (ROOT / ".dockerignore").read_text().splitlines() if one and not one.startswith("#")]
    stages = {line.partition(" AS ")[2] for line in of("FROM")}
    for line in of("COPY"):
        if line.startswith("--from="):
            assert line.split()[0].removeprefix("--from=") in stages
            continue
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            ignored = False
            for pattern in patterns:  # the last that fits decides
                if fnmatch(source, pattern.removeprefix("!")):
                    ignored = not pattern.startswith("!")
            assert not ignored, source


def test_what_pip_installs_is_the_project_with_extras_that_exist():
    (command,) = [line for line in of("RUN") if "pip install" in line]
    assert shlex.split(command)[-3:] == ["-c", "constraints.txt", ".[${EXTRAS}]"]
    assert set(ARGUMENTS["EXTRAS"].split(",")) <= set(PROJECT["optional-dependencies"])


def test_its_program_is_gaid_run_by_a_user_without_rights_in_a_volume():
    assert of("ENTRYPOINT") == ['["gaid"]']
    assert "gaid" in PROJECT["scripts"]
    (user,) = of("USER")
    assert user not in ("root", "0")
    assert any(f"useradd --uid 10001 --create-home {user}" in line for line in of("RUN"))
    assert of("VOLUME") == ["/data"]


def test_no_weights_are_fetched():
    assert not re.search(r"hf |huggingface-cli|GAID_DOWNLOAD|curl|wget|https?://", TEXT)


@pytest.mark.parametrize("name", ["PYTHON", "EXTRAS"])
def test_the_page_names_the_arguments_with_their_defaults(name):
    assert f"| `{name}` | `{ARGUMENTS[name]}` |" in (ROOT / "docs/docker.md").read_text()
