"""The course as pages: each chapter as HTML, an index, and the figures on disk."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path

from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from sercore.course.storing import code_cells
from sercore.workspace import SYNTHETIC_NOTE, Workspace

_STYLE = """
:root { color-scheme: light; }
body { font: 17px/1.55 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto;
       max-width: 54rem; padding: 1rem 1.2rem 4rem; }
h1, h2, h3 { line-height: 1.25; margin: 1.8em 0 .6em; } h1 { margin-top: .6em; }
a { color: #7b2382; } .anchor-link { visibility: hidden; margin-left: .3em; }
h1:hover .anchor-link, h2:hover .anchor-link, h3:hover .anchor-link { visibility: visible; }
nav { display: flex; gap: 1.5rem; justify-content: space-between; font-size: .9rem; }
img { max-width: 100%; height: auto; } audio { max-width: 100%; }
pre, code { font: .8em/1.5 ui-monospace, Menlo, Consolas, monospace; }
pre { margin: 0; overflow-x: auto; }
:not(pre) > code { background: #f3eff5; padding: .1em .25em; border-radius: 3px; }
.prompt { display: none; } .code_cell { margin: 1.1em 0; }
.highlight { background: #f7f5f8; border-left: 3px solid #b63679; padding: .6em .8em; }
.output_subarea { margin: .5em 0 .5em .9em; overflow-x: auto; }
.output_subarea pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.output_stderr { background: #fdeeee; padding: .3em .6em; }
.output_error { background: #fdeeee; padding: .6em; }
table { border-collapse: collapse; font-size: .92em; margin: .8em 0; border: 0; }
th, td { padding: .25em .7em; border: 0; border-bottom: 1px solid #ddd; text-align: left; }
.dataframe th, .dataframe td { text-align: right; } .dataframe th:first-child { text-align: left; }
.dataframe tbody th { text-align: left; white-space: nowrap; }
blockquote { margin-left: 0; padding-left: 1em; border-left: 3px solid #ccc; color: #555; }
.chapters { width: 100%; } .chapters img { display: block; }
.chapters td:first-child { width: 9rem; }
.chapters .time { white-space: nowrap; text-align: right; }
.note { background: #fff6dd; padding: .5em .8em; } .failed { color: #a40000; }
.ansi-red-fg { color: #a40000; } .ansi-green-fg { color: #176117; } .ansi-bold { font-weight: 700; }
.ansi-blue-fg, .ansi-cyan-fg { color: #00568b; } .ansi-yellow-fg { color: #7a5b00; }
"""


@dataclass(frozen=True, kw_only=True)
class CellFailure:
    """What ended a chapter: the number of the code cell, and its source and error for people."""

    cell: int
    message: str


@dataclass(frozen=True, kw_only=True)
class ChapterRun:
    """A chapter after its run.

    Attributes
    ----------
    path : Path
        The notebook's file, which is not changed.
    notebook : NotebookNode
        The notebook with its outputs, up to the cell that failed if one did.
    seconds : float
        How long it ran.
    failure : CellFailure or None
        What stopped it.
    """

    path: Path
    notebook: NotebookNode
    seconds: float
    failure: CellFailure | None

    @property
    def title(self) -> str:
        """The chapter's first heading."""
        text = "\n".join(c.source for c in self.notebook.cells if c.cell_type == "markdown")
        heading = re.search(r"^# +(.+)$", text, re.MULTILINE)
        return heading[1].strip() if heading else self.path.stem

    @property
    def duration(self) -> str:
        """How long it ran, for people."""
        minutes, rest = divmod(round(self.seconds), 60)
        return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

    @property
    def scores(self) -> list[NotebookNode]:
        """The outputs of the cells tagged `scores`: a table, on demo data a note before it."""
        tagged = [c for c in code_cells(self.notebook) if "scores" in c.metadata.get("tags", [])]
        return [output for cell in tagged for output in cell.outputs]


def clear(folder: Path) -> None:
    """Remove the pages and figures of an earlier run, and nothing else; make what is missing."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for pattern in ("*.html", "figures/*.png"):
        for old in folder.glob(pattern):
            old.unlink()


def write_figures(run: ChapterRun, folder: Path) -> list[Path]:
    """Write a chapter's pictures as `CHAPTER-CELL-NUMBER.png` and return their paths."""
    written = []
    for number, cell in enumerate(code_cells(run.notebook), start=1):
        for count, png in enumerate(_pictures(cell), start=1):
            path = folder / f"{run.path.stem}-{number:02d}-{count}.png"
            path.write_bytes(png)
            written.append(path)
    return written


def _pictures(cell: NotebookNode) -> Iterator[bytes]:
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            yield base64.b64decode(output.data["image/png"])


class _Renderer(IPythonRenderer):
    """Markdown as it must be in a page that stands alone."""

    folder: Path

    def image(self, text: str, url: str, title: str | None = None) -> str:
        # nbconvert embeds only what lies below the notebook, and figures/ lies beside it.
        source = self.folder / url
        if source.is_file():
            content = base64.b64encode(source.read_bytes()).decode()
            url = f"data:{guess_type(source.name)[0]};base64,{content}"
        return super().image(text, url, title)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, re.sub(r"^([\w.-]+)\.ipynb(?=#|$)", r"\1.html", url), title)


def write_page(run: ChapterRun, folder: Path, *, chapters: list[Path]) -> Path:
    """Write a chapter as one HTML file that needs no network; return its path.

    Parameters
    ----------
    run : ChapterRun
        The chapter with its outputs.
    folder : Path
        Folder of the page.
    chapters : list of Path
        All notebooks in order, for the links to the chapters before and after.
    """

    def markdown(source: str) -> str:
        renderer = _Renderer(escape=False)
        renderer.folder = run.path.parent
        return MarkdownWithMath(renderer=renderer).render(source)

    # The basic template is the body alone: the others load MathJax and RequireJS from a network.
    exporter = HTMLExporter(template_name="basic", filters={"markdown2html": markdown})
    body, _ = exporter.from_notebook_node(run.notebook)
    nav = _navigation(run.path, chapters)
    page = folder / f"{run.path.stem}.html"
    page.write_text(_page(run.title, nav + body + nav), encoding="utf-8")
    return page


def _navigation(path: Path, chapters: list[Path]) -> str:
    place = chapters.index(path)
    around = [chapters[place - 1] if place else None, *chapters[place + 1 : place + 2]]
    links = [f'<a href="{near.stem}.html">{near.stem}</a>' if near else "" for near in around]
    links.insert(1, '<a href="index.html">All chapters</a>')
    return f"<nav>{''.join(f'<span>{link}</span>' for link in links)}</nav>"


def write_index(runs: list[ChapterRun], folder: Path, *, workspace: Workspace) -> Path:
    """Write the page that lists the chapters run so far and, once there are any, the scores.

    Parameters
    ----------
    runs : list of ChapterRun
        The chapters run so far.
    folder : Path
        Folder of the page, of the chapters' pages and of `figures`.
    workspace : Workspace
        Data and profile of the run.

    Returns
    -------
    Path
        The page.
    """
    rows = "\n".join(_index_row(run, folder) for run in runs)
    about = f"Data: {html.escape(str(workspace.root))}. Profile: {workspace.profile.name}."
    parts = [f"<h1>Speech emotion recognition</h1><p>{about}</p>"]
    if workspace.synthetic:
        parts.append(f'<p class="note">{SYNTHETIC_NOTE}</p>')
    parts.append(f'<table class="chapters">{rows}</table>')
    tables = [output.get("data", {}).get("text/html", "") for run in runs for output in run.scores]
    if any(tables):
        parts += ["<h2>Scores on the test set</h2>", *tables]
    index = folder / "index.html"
    index.write_text(_page("Speech emotion recognition", "\n".join(parts)), encoding="utf-8")
    return index


def scores_text(runs: list[ChapterRun]) -> str:
    """Return what the cells tagged `scores` print and show, or that there is nothing of it."""
    outputs = [output for run in runs for output in run.scores]
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs]
    shown = "\n".join(text.rstrip() for text in texts if text)
    if not shown:
        return "No scores were printed: no cell tagged 'scores' was run and showed something."
    return f"Scores on the test set:\n{shown}"


def _index_row(run: ChapterRun, folder: Path) -> str:
    name = run.path.stem
    pictures = sorted((folder / "figures").glob(f"{name}-*.png"))
    picture = f'<img src="figures/{pictures[0].name}" alt="">' if pictures else ""
    failed = run.failure and f'<br><span class="failed">stopped in cell {run.failure.cell}</span>'
    return (
        f'<tr><td>{picture}</td><td><a href="{name}.html">{html.escape(run.title)}</a>'
        f'{failed or ""}</td><td class="time">{run.duration}</td></tr>'
    )


def _page(title: str, body: str) -> str:
    style = _STYLE + HtmlFormatter().get_style_defs(".highlight")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )
