"""The course as pages: each chapter as HTML, an index, and the figures as files."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from importlib import resources
from mimetypes import guess_type
from pathlib import Path
from string import Template
from typing import NamedTuple

from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from sercore.course.notebooks import code_cells
from sercore.store.files import write_whole
from sercore.workspace import SYNTHETIC_NOTE, Workspace


class CellFailure(NamedTuple):
    """What stopped a chapter: the code cell's number, from 1, and its source and error as text."""

    cell: int
    message: str


@dataclass(frozen=True, kw_only=True)
class ChapterRun:
    """A chapter after its run."""

    path: Path
    notebook: NotebookNode
    """The chapter with its outputs, up to the cell that failed if one did."""
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
        """The outputs of the cells tagged `scores`: a table, and on demo data a note before it."""
        tagged = [c for c in code_cells(self.notebook) if "scores" in c.metadata.get("tags", [])]
        return [output for cell in tagged for output in cell.outputs]


def clear(folder: Path) -> None:
    """Remove the pages and figures of an earlier run, and nothing else; make missing folders."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.html"), *folder.glob("figures/*.png")]:
        old.unlink()


def write_pages(
    runs: list[ChapterRun], folder: Path, *, chapters: list[Path], workspace: Workspace
) -> None:
    """Write the page of the chapter that was run last, its pictures, and the index of all runs.

    A picture's file is `figures/CHAPTER-CELL-NUMBER.png`.
    """
    for number, cell in enumerate(code_cells(runs[-1].notebook), start=1):
        pictures = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        for count, png in enumerate(pictures, start=1):
            name = f"{runs[-1].path.stem}-{number:02d}-{count}.png"
            write_whole(folder / "figures" / name, base64.b64decode(png))
    write_page(runs[-1], folder, chapters=chapters)
    write_index(runs, folder, workspace=workspace)


class _Renderer(IPythonRenderer):
    """Markdown for a page that stands alone."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        # nbconvert puts only pictures from below the notebook into the page: not from figures/.
        source = Path(self.path, url)
        if source.is_file():
            content = base64.b64encode(source.read_bytes()).decode()
            url = f"data:{guess_type(source.name)[0]};base64,{content}"
        return super().image(text, url, title)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, re.sub(r"^([\w.-]+)\.ipynb(?=#|$)", r"\1.html", url), title)


def write_page(run: ChapterRun, folder: Path, *, chapters: list[Path]) -> Path:
    """Write a chapter as one HTML file that needs no network; return its path.

    The page leads to the ones before and after it in `chapters`.
    """
    markdown = MarkdownWithMath(renderer=_Renderer(escape=False, path=str(run.path.parent)))
    # The basic template is the body alone: the others load MathJax and RequireJS from a network.
    exporter = HTMLExporter(template_name="basic", filters={"markdown2html": markdown.render})
    body, _ = exporter.from_notebook_node(run.notebook)
    names = ["", *(path.stem for path in chapters), ""]
    place = names.index(run.path.stem)
    before, after = names[place - 1], names[place + 1]
    near = [(before, before), ("index", "All chapters"), (after, after)]
    links = [f'<a href="{name}.html">{label}</a>' if name else "" for name, label in near]
    nav = f"<nav>{''.join(f'<span>{link}</span>' for link in links)}</nav>"
    return write_whole(folder / f"{run.path.stem}.html", _page(run.title, nav + body + nav))


def write_index(runs: list[ChapterRun], folder: Path, *, workspace: Workspace) -> Path:
    """Write the page that lists the chapters run so far and, once there are any, the scores."""
    name, about = "Speech emotion recognition", html.escape(str(workspace.root))
    parts = [f"<h1>{name}</h1><p>Data: {about}. Profile: {workspace.profile.name}.</p>"]
    parts += [f'<p class="note">{SYNTHETIC_NOTE}</p>'] * workspace.synthetic
    parts += ['<table class="chapters">']
    for run in runs:
        pictures = sorted((folder / "figures").glob(f"{run.path.stem}-*.png"))
        picture = f'<img src="figures/{pictures[0].name}" alt="">' if pictures else ""
        link = f'<a href="{run.path.stem}.html">{html.escape(run.title)}</a>'
        if run.failure:
            link += f'<br><span class="failed">stopped in cell {run.failure.cell}</span>'
        row = f'<td>{picture}</td><td>{link}</td><td class="time">{run.duration}</td>'
        parts += [f"<tr>{row}</tr>"]
    tables = [output.get("data", {}).get("text/html", "") for run in runs for output in run.scores]
    parts += ["</table>", *["<h2>Scores on the test set</h2>", *tables] * any(tables)]
    return write_whole(folder / "index.html", _page(name, "\n".join(parts)))


def scores_text(runs: list[ChapterRun]) -> str:
    """Return what the cells tagged `scores` print and show, or that they show nothing."""
    outputs = [output for run in runs for output in run.scores]
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs]
    shown = "\n".join(text.rstrip() for text in texts if text)
    none = "No scores were printed: no cell tagged 'scores' was run and showed something."
    return f"Scores on the test set:\n{shown}" if shown else none


def _page(title: str, body: str) -> str:
    page = resources.files("sercore").joinpath("data/page.html").read_text("utf-8")
    colours = HtmlFormatter().get_style_defs(".highlight")
    return Template(page).substitute(title=html.escape(title), body=body, colours=colours)
