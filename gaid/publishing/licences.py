"""Which licences of backbones exclude commercial use, and what that means for a head trained on their features."""

from collections.abc import Iterable

# A backbone's licence, as `gaid.backbones` states it, and the hub's name for it.
RESTRICTED = {"CC-BY-NC-4.0": "cc-by-nc-4.0", "Apple AMLR (research only)": "apple-amlr"}
UNKNOWN = "unknown"


def is_restricted(licence: str) -> bool:
    """Whether a licence excludes commercial use."""
    return licence in RESTRICTED


def head_licence(of_backbones: Iterable[str]) -> str:
    """The hub's name of the licence that a head gets where its author chooses none: that of a backbone that excludes commercial
    use, `other` for several such licences, and else `unknown`: nobody but the author can choose one."""
    names = {RESTRICTED[one] for one in of_backbones if one in RESTRICTED}
    return UNKNOWN if not names else names.pop() if len(names) == 1 else "other"
