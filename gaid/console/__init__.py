"""What every room that talks to a person borrows: lines and tables, the progress of long work, and the wish to stop it.

What is said is left to the callers.
"""

from gaid.console.progress import Progress, duration
from gaid.console.stopping import StopWish, stop_on_signal
from gaid.console.text import (
    PIPED,
    Cell,
    Lasting,
    figure,
    label,
    print_table,
    printable,
    say,
    show,
    show_markdown,
)

__all__ = [
    "PIPED",
    "Cell",
    "Lasting",
    "Progress",
    "StopWish",
    "duration",
    "figure",
    "label",
    "print_table",
    "printable",
    "say",
    "show",
    "show_markdown",
    "stop_on_signal",
]
