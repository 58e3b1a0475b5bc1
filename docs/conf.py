"""The documents as a site, made by Sphinx: `make site`. docs/index.md has the pages in order, and is the navigation."""

import re
from typing import Any

project = "facesearch"
html_title = project
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "deploy/**.md", "clients/**.md"]
exclude_patterns = [".*", "build", "samples"]
extensions = ["myst_parser"]
myst_heading_anchors = 6  # a link may lead to any heading, as on pages of repositories
html_theme = "furo"
html_show_copyright = html_show_sphinx = html_copy_source = False
html_additional_pages = {"index": "to-docs.html"}
templates_path = ["site"]
nitpicky = True  # a reference that leads nowhere is a warning, and warnings are errors


def navigation(index: str) -> str:
    """Return tables of contents by the sections and links of docs/index.md."""
    sections = re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", index, re.MULTILINE)
    return "".join(
        "\n".join(
            ["", "```{toctree}", ":hidden:", f":caption: {title}", "", *re.findall(r"\]\((.+)\.md\)", links), "```", ""]
        )
        for title, links in sections
    )


def add_navigation(_: Any, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += navigation(source[0])
    elif page == "docs/decisions/README":
        source[0] += "\n```{toctree}\n:glob:\n:maxdepth: 1\n\n0*\n```\n"


def setup(app: Any) -> None:
    app.connect("source-read", add_navigation)
