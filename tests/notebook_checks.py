"""What the skeleton of a chapter is: each `..._problems` returns one line a problem.

What may be stored in a notebook's outputs is checked by `sercore.course.notebooks`, which asks the
same before it stores them.
"""

import re
from itertools import pairwise, takewhile

from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode

from sercore.config import REPOSITORY
from sercore.course.notebooks import code_cells

NOTEBOOKS = REPOSITORY / "notebooks"
MAX_CODE_CELLS = 25
MAX_LINES = 15
BULLETS = 3
TRY_IT_CELLS = 2

LEARN = "In this chapter you will learn"
LEARNED = "## What you have learned"
TRY_IT = "## Try it"
NEEDS = "**You need:**"


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def markdown(cells: list[NotebookNode]) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def opening(notebook: NotebookNode) -> str:
    """The markdown before the first code cell."""
    return markdown(list(takewhile(lambda cell: cell.cell_type != "code", notebook.cells)))


def closing(notebook: NotebookNode) -> str:
    """The markdown after the last code cell that is not a Try it cell."""
    told = [cell.cell_type == "code" and "try-it" not in tags(cell) for cell in notebook.cells]
    return markdown(notebook.cells[len(told) - [*told[::-1], True].index(True) :])


def bullets_below(text: str, phrase: str) -> list[str]:
    """The items of the list that follows the line with `phrase`, each on one line."""
    below = text.partition(phrase)[2].partition("\n")[2]
    # An item goes on until a blank line; the list ends at a line that is neither.
    block = re.match(r"\s*(?:^[-*] +.*\n?(?:^(?![-*] ).*\S.*\n?)*\s*)*", below, re.MULTILINE)
    items = re.split(r"^[-*] +", block[0], flags=re.MULTILINE)
    return [" ".join(item.split()) for item in items[1:]]


def opening_problems(notebook: NotebookNode) -> list[str]:
    text, problems = opening(notebook), []
    if not re.match(r"# \S", text):
        problems.append("the first cell does not begin with a title, '# ...'")
    if (count := len(bullets_below(text, LEARN))) != BULLETS:
        problems.append(f"{LEARN!r} has {count} bullets, not {BULLETS}")
    if f"\n{NEEDS}" not in text:
        problems.append(f"no line before the first code cell begins with {NEEDS!r}")
    return problems


def closing_problems(notebook: NotebookNode) -> list[str]:
    promised = bullets_below(opening(notebook), LEARN)
    kept = bullets_below(closing(notebook), LEARNED)
    if kept == promised:
        return []
    return [f"{LEARNED!r} at the end has the bullets {kept}, the opening has {promised}"]


def try_it_problems(notebook: NotebookNode) -> list[str]:
    """The section Try it has two code cells, and they alone carry its tag."""
    heading, inside, tagged = "", [], []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            heading = [heading, *re.findall(r"^##? .*$", cell.source, re.MULTILINE)][-1]
        else:
            inside += [number] * (heading.strip() == TRY_IT)
            tagged += [number] * ("try-it" in tags(cell))
    if len(inside) == TRY_IT_CELLS and inside == tagged:
        return []
    return [f"{TRY_IT!r} needs {TRY_IT_CELLS} code cells; it has {inside}, tagged are {tagged}"]


def length_problems(notebook: NotebookNode) -> list[str]:
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    long = [f"code cell {i} has {n} lines" for i, n in enumerate(lengths, 1) if n > MAX_LINES]
    return long + [f"there are {len(lengths)} code cells"] * (len(lengths) > MAX_CODE_CELLS)


def introduction_problems(notebook: NotebookNode) -> list[str]:
    """A sentence before each code cell says what it is about to show."""
    return [
        f"no markdown directly before the code cell that begins {cell.source[:60]!r}"
        for before, cell in pairwise([None, *notebook.cells])
        if cell.cell_type == "code" and (before is None or before.cell_type != "markdown")
    ]


def link_problems(notebook: NotebookNode) -> list[str]:
    """A page of the course stands alone: links lead to chapters, within one, or to the web."""
    page = markdown2html_mistune(markdown(notebook.cells))
    chapters = "|".join(re.escape(path.name) for path in NOTEBOOKS.glob("*.ipynb"))
    leads = re.compile(rf"https?://|#|({chapters})(#|$)")
    links = re.findall(r"<a\s[^>]*href=[\"']([^\"']*)", page)
    return [f"a page of the course has no {link}" for link in links if not leads.match(link)]


def comparison_problems(notebook: NotebookNode) -> list[str]:
    compared = any("nbval-check-output" in tags(cell) for cell in code_cells(notebook))
    return [] if compared else ["no cell is tagged 'nbval-check-output'"]
