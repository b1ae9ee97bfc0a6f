"""The exit code and the one line that a user sees of an error. The rest of its text is written where it is raised."""

import difflib
import errno
import re

from gaid.errors import ExtractInterrupted, GaidError, PageNotWritten, StoreCorrupt

FAULT, MISTAKE, DAMAGED, PARTLY, STOPPED = 1, 2, 3, 3, 130
# Errors of the operating system that a user can mend; the others are not their doing.
_MENDABLE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
        errno.ENOSPC, errno.EDQUOT)  # fmt: skip


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for an error that ended a command."""
    code, text = _explain(error)
    return code, " ".join(text.split())


def _explain(error: BaseException) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, "stopped"
    if isinstance(error, ExtractInterrupted):
        return STOPPED, str(error)
    if isinstance(error, StoreCorrupt):
        return DAMAGED, str(error)
    if isinstance(error, PageNotWritten):
        return PARTLY, str(error)
    if isinstance(error, GaidError):
        return MISTAKE, str(error)
    if hasattr(error, "format_message"):  # typer's errors, whose class is not public
        message = error.format_message()
        if not message:  # a group without a command has printed its help
            return int(getattr(error, "exit_code", MISTAKE)), ""
        return MISTAKE, _usage(message)
    if isinstance(error, OSError) and error.errno in _MENDABLE:
        more = " (a file stands where a folder is needed)" if error.errno in (errno.EEXIST, errno.ENOTDIR) else ""
        return MISTAKE, f"{error.filename or 'a file'}: {error.strerror}{more}"
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return (
            FAULT,
            "the GPU is out of memory; try a smaller --batch-size (extract), --set batch_size= or --memory",
        )
    return (
        FAULT,
        f"an unexpected error, {type(error).__name__}: {str(error)[:300]}; the same command with --debug shows where",
    )


def _usage(message: str) -> str:
    """Typer's message without the library's own prefixes, with the nearest choice where a value is not one of them."""
    message = message.strip().rstrip(".").replace("Value error, ", "")
    choice = re.search(r"'([^']*)' is not one of (.+)$", message)
    if choice:
        near = difflib.get_close_matches(choice[1], re.findall(r"'([^']*)'", choice[2]), n=1, cutoff=0.4)
        if near:
            message += f"; did you mean {near[0]!r}?"
    return f"{message} (see --help)"
