"""What people look at: tables, figures and pages made from results. Nothing here computes a score or a metric.

`write_page(results, path)` writes the page of whatever a command's function returned; each kind of page has a module of its
own, which registers it.
"""

from gaid.report import audit, evaluation, search, senses, stress  # noqa: F401 (each registers its page)
from gaid.report.html import write_page

__all__ = ["write_page"]
