"""The documents as a site, made by Sphinx: `make site`. docs/index.md has the pages in order, and is the navigation."""

import re
from typing import Any

from sphinx.search.en import SearchEnglish

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
html_search_language = "en_zh"
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


HAN = "\u3400-\u4dbf\u4e00-\u9fff"


class SearchEnglishAndChinese(SearchEnglish):
    """English by words; Chinese, which has no spaces, by single characters and by pairs of neighbours."""

    lang = "en_zh"
    js_splitter_code = rf"""
var splitQuery = (query) =>
  query
    .split(/[^\p{{Letter}}\p{{Number}}_\p{{Emoji_Presentation}}]+|(?<=[{HAN}])(?=[^{HAN}])|(?<=[^{HAN}])(?=[{HAN}])/u)
    .filter((term) => term)
    .flatMap((term) => (/[{HAN}]{{2}}/.test(term) ? Array.from(term.slice(1), (next, i) => term[i] + next) : [term]));
"""

    def split(self, input: str) -> list[str]:  # noqa: A002 -- Sphinx names it so
        return re.findall(rf"[{HAN}]|[^\W{HAN}]+", input) + re.findall(rf"(?=([{HAN}]{{2}}))", input)


def setup(app: Any) -> None:
    app.add_search_language(SearchEnglishAndChinese)
    app.connect("source-read", add_navigation)
