"""Every error that a user can meet, ordered by what he does about it. The command line prints them as one line."""

from typing import Any


class GaidError(Exception):
    """Base of all errors that are told, not traced: the text names what, where, and the remedy."""


class OptionInvalid(GaidError, ValueError):
    """An option, a setting or a name that can't be: choose another."""


class DependencyMissing(GaidError, ImportError):
    """A package of an extra is not installed: install it."""


class BackboneUnavailable(GaidError):
    """A backbone's weights are not at hand: fetch them, or ask for random ones."""


class DataMissing(GaidError, FileNotFoundError):
    """A data set, a store or a run is not where it was looked for."""

    def __str__(self) -> str:  # OSError would print an errno
        return str(self.args[0]) if self.args else ""


class DataInvalid(GaidError, ValueError):
    """An annotation file says something that can't be: mend the entry that the text names."""


class MediaError(GaidError):
    """A video or sound can't be used; the clip is skipped and listed. `reason` is one of `REASONS`."""

    REASONS = ("missing", "unreadable", "refused", "no video", "too large", "too slow", "encrypted", "crashed", "empty")

    def __init__(self, reason: str, message: str) -> None:
        if reason not in self.REASONS:
            raise ValueError(f"unknown reason {reason!r}")
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.sources: tuple[Any, ...] = ()  # the clip's files, where a decode pool was to look at them

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class ExtractInterrupted(GaidError):
    """Extraction was stopped by the user; what was finished is kept and the same command goes on."""


class StoreInvalid(GaidError, ValueError):
    """Not a store, or one of a schema that this version does not know."""


class StoreIncomplete(GaidError):
    """Some shards have not been extracted yet: run the extraction again."""


class StoreCorrupt(GaidError):
    """Bytes of a store are not those that were written: extract the shards named again."""


class StoreLocked(GaidError):
    """Another process is writing this store."""


class StoresDisagree(GaidError, ValueError):
    """Features of different backbones, sampling or data meet: use one, or extract into another place."""


class PageNotWritten(GaidError):
    """The figures are there, but the page or files about them could not be written: the text says why."""


class HeadMismatch(GaidError, ValueError):
    """A head and the features or weights given to it don't fit."""


class RunInvalid(GaidError, ValueError):
    """A run folder is not one, or is damaged."""


class CheckpointInvalid(GaidError, ValueError):
    """A published checkpoint can't be read, lacks weights, or is another method's: the text names which."""


class CodeRefused(GaidError):
    """Code that lies within a run or a store, which may come from anywhere: move it elsewhere, or allow it."""


class TrainingDiverged(GaidError):
    """A loss or gradient is not a number any more: lower the learning rate."""
