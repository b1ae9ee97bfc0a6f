"""Which version of a package is installed, for records of what features and heads were made with."""

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str) -> str | None:
    """The installed version of a package; None where it is not installed, as gaid itself where it is run from a folder."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
