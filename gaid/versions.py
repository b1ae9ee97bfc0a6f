"""Which packages are installed, and in which version, for records of what features and heads were made with."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


def version_of(package: str) -> str | None:
    """The installed version of a package; None where it is not installed, as gaid itself where it is run from a folder."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def not_installed(modules: Iterable[str]) -> list[str]:
    """Those of these modules that cannot be imported here. None is imported."""
    return [module for module in modules if find_spec(module) is None]
