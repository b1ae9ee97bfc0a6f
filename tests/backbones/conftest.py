"""A CLIP small enough to be built in every test: open_clip's own code, a configuration of ours."""

import json
from pathlib import Path

import pytest

from gaid import devices

MODEL = "gaid-small"
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Registers the small architecture with open_clip and returns its name."""
    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    (folder / f"{MODEL}.json").write_text(json.dumps(CONFIG))
    foreign = CONFIG | {
        "text_cfg": {"context_length": 77, "hf_tokenizer_name": "owner/tokenizer", "width": 32, "heads": 2}
    }
    (folder / "small-foreign-text.json").write_text(json.dumps(foreign))
    open_clip.add_model_config(folder)
    return MODEL


@pytest.fixture(autouse=True)
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache with nothing in it, and no permission to fill it: what the machine holds must not matter."""
    from huggingface_hub import constants

    hub = tmp_path / "hub"
    hub.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("GAID_DOWNLOAD", raising=False)
    return hub


def put_into_hub(hub: Path, repository: str, files: dict[str, bytes]) -> Path:
    """Writes files as the hub's client would have cached them, and returns their folder."""
    home = hub / ("models--" + repository.replace("/", "--"))
    snapshot = home / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0" * 40)
    for name, content in files.items():
        (snapshot / name).write_bytes(content)
    return snapshot


@pytest.fixture
def cpu_as_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cpu:0`, which no user can name, is a CPU that backbones treat as they treat a GPU: only `cpu` goes clip by clip."""
    real = devices.pick_device
    monkeypatch.setattr(devices, "pick_device", lambda name: name if name == "cpu:0" else real(name))
