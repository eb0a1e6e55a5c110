"""Check the built documentation as its readers use it: do its links lead somewhere, do a newcomer's words find a page?

Usage: ``python tools/check_docs.py [HTML FOLDER]`` (default: docs/_build/html); ``--search WORDS`` prints what the
search of the built pages finds. Needs what Sphinx installs. Ends with status 1 if a link is broken, or if words do not
find the page that answers them.
"""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

ROOT = Path(__file__).resolve().parent.parent

QUESTIONS = {
    "parallel for loop files": "tutorial",
    "parallelize loop": "tutorial",
    "progress bar": "tutorial",
    "pool map multiple arguments": "tutorial",
    "exception traceback worker": "tutorial",
    "how many workers": "tutorial",
    "state in workers": "guides/pools",
    "initializer": "guides/pools",
    "numpy array shared between processes without copying": "guides/big-data",
    "share numpy array": "guides/big-data",
    "shared memory large data": "guides/big-data",
    "worker killed out of memory": "guides/death",
    "survive crashing task": "guides/death",
    "segfault in worker": "guides/death",
    "retry failed task": "guides/death",
    "stop task after timeout": "guides/timeouts",
    "kill process": "guides/timeouts",
    "limit memory of workers": "guides/timeouts",
    "lambda can't pickle": "guides/notebooks",
    "jupyter notebook": "guides/notebooks",
    "fork or spawn": "guides/start-methods",
    "asyncio await pool": "guides/asyncio",
    "remote manager TLS": "guides/network",
    "slurm cluster": "guides/cluster",
    "kubernetes": "guides/cluster",
    "joblib loky": "guides/moving",
    "celery billiard": "guides/moving",
    "replace multiprocessing": "guides/moving",
    "program hangs": "guides/doctor",
    "deadlock": "guidelines",
    "freeze_support bootstrapping phase": "errors",
    "BrokenPipeError": "errors",
    "EOFError": "errors",
    "authkey secret": "guides/network",
}
"""What newcomers type -> the page that must be among the first results."""

_FIRST = 5


# ---- links -----------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value is not None:
                self.links.append(value)


def broken_links(folder: Path) -> list[str]:
    """Return every link between the pages of *folder* that leads nowhere; what is elsewhere is not asked for."""
    pages = {path.resolve(): _Page(path) for path in folder.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            address, anchor = urldefrag(link)
            if urlsplit(address).scheme or address.startswith("//"):
                continue
            target = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            if target.is_dir():
                target /= "index.html"
            known = target.exists() and (not anchor or target not in pages or anchor in pages[target].anchors)
            if not known and anchor not in ("", "#"):
                known = target in pages and unquote(anchor) in pages[target].anchors
            if not known:
                broken.append(f"{path.relative_to(folder.resolve())}: {link}")
    return broken


# ---- the search, as the script in the pages does it ------------------------------------------------------


def load_index(folder: Path) -> dict[str, Any]:
    """Return the index that Sphinx wrote for its search page."""
    text = (folder / "searchindex.js").read_text(encoding="utf-8")
    index: dict[str, Any] = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    language = (folder / "_static" / "language_data.js").read_text(encoding="utf-8")
    begin = language.index("[", language.index("stopwords"))
    index["stop words"] = json.loads(language[begin : language.index("]", begin) + 1])
    return index


def _files(found: Any) -> list[int]:
    return found if isinstance(found, list) else [found]


def search(index: dict[str, Any], words: str) -> list[str]:
    """Return the names of the pages that have all the words (or longer ones that contain them), the best first."""
    import snowballstemmer

    stemmer = snowballstemmer.stemmer("english")
    words = words.lower().replace("'", " ")
    wanted = [word for word in words.split() if word not in index["stop words"] and not word.isdigit()]
    wanted = list(dict.fromkeys(stemmer.stemWord(word) for word in wanted))
    scores: dict[int, dict[str, int]] = {}
    for word in wanted:
        for table, exact, partial in ((index["terms"], 5, 2), (index["titleterms"], 15, 7)):
            hits = {term: exact for term in (word,) if term in table}
            if len(word) > 2 and not hits:
                hits = {term: partial for term in table if word in term}
            for term, score in hits.items():
                for number in _files(table[term]):
                    found = scores.setdefault(number, {})
                    found[word] = max(found.get(word, 0), score)
    # As there: words of one or two letters may be missing.
    enough = (len(wanted), sum(len(word) > 2 for word in wanted))
    full = [number for number, found in scores.items() if len(found) in enough]

    def rank(number: int) -> tuple[int, int, str]:
        found = scores[number].values()
        return -max(found), -sum(found), index["titles"][number]

    full.sort(key=rank)
    return [index["docnames"][number] for number in full]


def main(arguments: list[str]) -> int:
    """The command: check, or search."""
    if arguments[:1] == ["--search"]:
        index = load_index(ROOT / "docs" / "_build" / "html")
        print("\n".join(search(index, " ".join(arguments[1:]))) or "nothing found")
        return 0
    folder = Path(arguments[0]) if arguments else ROOT / "docs" / "_build" / "html"
    problems = [f"broken link: {link}" for link in broken_links(folder)]
    index = load_index(folder)
    for words, page in QUESTIONS.items():
        found = search(index, words)
        if page not in found[:_FIRST]:
            problems.append(f"a search for {words!r} finds {found[:_FIRST]}, and not {page}")
    print("\n".join(problems) or f"all links lead somewhere, {len(QUESTIONS)} searches find their page")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
