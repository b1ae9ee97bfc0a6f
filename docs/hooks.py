"""What the documentation's site takes from outside docs/: the changes and the examples, which the pages link to as files."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = [ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").glob("*.py"))]


def on_files(files, config):
    """Adds the files, at the places that they have in a checkout."""
    for path in OUTSIDE:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links lead to them: in a checkout they lie one folder above docs/, on the site beside the pages."""
    if page.file.src_uri == "CHANGELOG.md":
        return markdown.replace("](docs/", "](")
    return re.sub(r"\]\(\.\./(?=CHANGELOG\.md|examples/)", "](", markdown)
