"""The page for Python does what it says, block after block."""

import re
from pathlib import Path

import numpy as np

from tests.training import planted

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_every_block_of_the_page_for_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stores").mkdir()
    planted.write_store(tmp_path / "stores" / "demo-tiny.zarr")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) >= 6
    found: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), found)
    assert found["weights"]
    assert found["scores"].shape == (len(found["test"].caption_ids), 12)
    # What is written for other programs is what the head says in the block before.
    assert np.allclose(found["scores"], found["exact"].detach(), atol=1e-6)
