"""Every error that a user can meet, ordered by the remedy. The command line prints each as one line, without a traceback.

GaidError
  OptionInvalid (ValueError)          choose another option, setting or name
  DependencyMissing (ImportError)     install the extra
  BackboneUnavailable                 fetch the weights, or ask for random ones
  DataMissing (FileNotFoundError)     name the place of the data set, store or run
  DataInvalid (ValueError)            correct the entry of the annotation file
  MediaError                          replace the file; extraction lists it and leaves the clip out
  ExtractInterrupted                  give the same command again
  StoreInvalid (ValueError)           name a store, or update gaid
  StoreIncomplete                     extract again: finished shards stay
  StoreCorrupt                        extract the named shards again
  StoreLocked                         wait for the other process
  RemoteFailed                        mend the address, the credentials or the network
  StoresDisagree (ValueError)         use features of one kind, or extract into another place
  PageNotWritten                      the figures are there: write the page elsewhere
  HeadMismatch (ValueError)           choose a head that fits the features
  RunInvalid (ValueError)             name a run, or train again
  CheckpointInvalid (ValueError)      name the checkpoint of the method
  CodeRefused                         move the code out of the run or store, or allow it
  TrainingDiverged                    lower the learning rate
"""

from typing import Any


class GaidError(Exception):
    """Base of all errors that a user can remedy: the text names what is wrong, where, and what to do."""


class OptionInvalid(GaidError, ValueError):
    """An option, a setting or a name that does not exist or does not fit: choose another."""


class DependencyMissing(GaidError, ImportError):
    """A package of an extra is not installed: install it."""


class BackboneUnavailable(GaidError):
    """The weights of a backbone are not on this machine: fetch them, or ask for random ones."""


class DataMissing(GaidError, FileNotFoundError):
    """A data set, a store or a run is not where it was looked for."""

    def __str__(self) -> str:  # OSError would print an errno
        return str(self.args[0]) if self.args else ""


class DataInvalid(GaidError, ValueError):
    """An annotation file contradicts itself or its format: correct the entry that the text names."""


class MediaError(GaidError):
    """A video or sound can't be used; the clip is skipped and listed. `reason` is one of `REASONS`."""

    REASONS = ("missing", "unreadable", "refused", "no video", "too large", "too slow", "encrypted", "crashed", "empty")

    def __init__(self, reason: str, message: str) -> None:
        if reason not in self.REASONS:
            raise ValueError(f"unknown reason {reason!r}")
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.sources: tuple[Any, ...] = ()  # the clip's files, where a decode pool was asked to look at them

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class ExtractInterrupted(GaidError):
    """Extraction was stopped by the user; what was finished is kept and the same command resumes."""


class StoreInvalid(GaidError, ValueError):
    """Not a store, or one of a schema that this version does not know."""


class StoreIncomplete(GaidError):
    """Some shards have not been extracted yet: run the extraction again."""


class StoreCorrupt(GaidError):
    """Bytes of a store are not those that were written: extract the named shards again."""


class StoreLocked(GaidError):
    """Another process is writing this store."""


class RemoteFailed(GaidError):
    """A bucket or an engine does not answer, or refuses: mend the address, the credentials or the network."""


class StoresDisagree(GaidError, ValueError):
    """Features of different backbones, sampling or data meet: use one, or extract into another place."""


class PageNotWritten(GaidError):
    """The figures were computed, but their page or files could not be written: the text says why."""


class HeadMismatch(GaidError, ValueError):
    """A head does not fit the features or weights given to it."""


class RunInvalid(GaidError, ValueError):
    """A folder is not a run, or the run is damaged."""


class CheckpointInvalid(GaidError, ValueError):
    """A published checkpoint can't be read, lacks weights, or is another method's: the text names which."""


class CodeRefused(GaidError):
    """Code that lies within a run or a store, which may come from anywhere: move it elsewhere, or allow it."""


class TrainingDiverged(GaidError):
    """A loss or gradient is not finite: lower the learning rate."""
