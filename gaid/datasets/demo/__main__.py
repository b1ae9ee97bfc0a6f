"""`python -m gaid.datasets.demo ROOT K/N`: makes the clips of the world begun in ROOT whose number leaves K when divided by N."""

import json
import os
import signal
import sys
from pathlib import Path

from gaid.datasets.demo import plans_of
from gaid.datasets.demo.media import write_clip


def main(root: Path, share: int, of: int) -> None:
    """Makes those clips of the share that are not there yet; ends early when the process that wanted them is gone."""
    wanted_by = os.getppid()
    settings = json.loads((root / "begun.json").read_text(encoding="utf-8"))
    for plan in plans_of(settings)[share::of]:
        if os.getppid() != wanted_by:
            return
        path = root / "clips" / f"{plan.id}.mp4"
        if not path.exists():
            write_clip(plan, path)


if __name__ == "__main__":
    # Ctrl-C reaches the parent as well, which ends this process; a second traceback would hide its message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    place, part = sys.argv[1:]
    number, count = part.split("/")
    main(Path(place), int(number), int(count))
