"""What the skeleton of a chapter is: each check returns one line a problem.

What may be stored in a notebook's outputs is checked by `sercore.course.storing`, which asks the same
before it stores them.
"""

import re
from itertools import pairwise

from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode

from sercore.course.runner import NOTEBOOKS
from sercore.course.storing import code_cells

MAX_CODE_CELLS = 25
MAX_LINES = 15
BULLETS = 3
TRY_IT_CELLS = 2
LINK = re.compile(r"""<a\s[^>]*href=["']([^"']*)""")

LEARN = "In this chapter you will learn"
LEARNED = "## What you have learned"
TRY_IT = "## Try it"


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def opening(notebook: NotebookNode) -> str:
    """The markdown before the first code cell."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            break
        texts.append(cell.source)
    return "\n\n".join(texts)


def closing(notebook: NotebookNode) -> str:
    """The markdown after the last code cell that is not a Try it cell."""
    texts = []
    for cell in reversed(notebook.cells):
        if cell.cell_type == "code" and "try-it" not in tags(cell):
            break
        if cell.cell_type == "markdown":
            texts.insert(0, cell.source)
    return "\n\n".join(texts)


def bullets_below(text: str, phrase: str) -> list[str]:
    """The items of the list that follows the line with `phrase`, each on one line."""
    lines = iter(text.splitlines())
    if not any(phrase in line for line in lines):
        return []
    items: list[str] = []
    after_blank = True
    for line in lines:  # the iterator stands behind the line with the phrase
        if bullet := re.match(r"[-*] +(.*)", line):
            items.append(bullet[1].strip())
        elif line.strip() and items and not after_blank:
            items[-1] += " " + line.strip()
        elif line.strip():
            break
        after_blank = not line.strip()
    return items


def opening_problems(notebook: NotebookNode) -> list[str]:
    text = opening(notebook)
    problems = []
    if not re.match(r"# \S", text):
        problems.append("the first cell does not begin with a title, '# ...'")
    count = len(bullets_below(text, LEARN))
    if count != BULLETS:
        problems.append(f"{LEARN!r} has {count} bullets, not {BULLETS}")
    if not re.search(r"^\*\*You need:\*\*", text, re.MULTILINE):
        problems.append("no line before the first code cell begins with '**You need:**'")
    return problems


def closing_problems(notebook: NotebookNode) -> list[str]:
    promised = bullets_below(opening(notebook), LEARN)
    kept = bullets_below(closing(notebook), LEARNED)
    if kept == promised:
        return []
    return [f"{LEARNED!r} at the end has the bullets {kept}, the opening has {promised}"]


def try_it_problems(notebook: NotebookNode) -> list[str]:
    """The section Try it has two code cells, and they alone carry its tag."""
    inside = False
    in_section, tagged = [], []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^##? .*$", cell.source, re.MULTILINE):
                inside = heading.strip() == TRY_IT
        elif cell.cell_type == "code":
            in_section += [number] * inside
            tagged += [number] * ("try-it" in tags(cell))
    if len(in_section) == TRY_IT_CELLS and in_section == tagged:
        return []
    return [
        f"{TRY_IT!r} needs {TRY_IT_CELLS} code cells tagged 'try-it': the section has the cells "
        f"{in_section}, tagged are {tagged}"
    ]


def length_problems(notebook: NotebookNode) -> list[str]:
    cells = code_cells(notebook)
    problems = []
    if len(cells) > MAX_CODE_CELLS:
        problems.append(f"{len(cells)} code cells, more than {MAX_CODE_CELLS}")
    for number, cell in enumerate(cells, start=1):
        lines = len(cell.source.splitlines())
        if lines > MAX_LINES:
            problems.append(f"code cell {number} has {lines} lines, more than {MAX_LINES}")
    return problems


def introduction_problems(notebook: NotebookNode) -> list[str]:
    """A sentence before each code cell says what it is about to show."""
    return [
        f"no markdown directly before the code cell that begins {cell.source[:60]!r}"
        for before, cell in pairwise([None, *notebook.cells])
        if cell.cell_type == "code" and (before is None or before.cell_type != "markdown")
    ]


def link_problems(notebook: NotebookNode) -> list[str]:
    """A page of the course stands alone: links lead to chapters, within one, or to the web."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    links = [link for text in texts for link in LINK.findall(markdown2html_mistune(text))]
    chapters = "|".join(re.escape(path.name) for path in NOTEBOOKS.glob("*.ipynb"))
    leads = re.compile(rf"https?://|#|({chapters})(#|$)")
    return [f"a page of the course has no {link}" for link in links if not leads.match(link)]


def comparison_problems(notebook: NotebookNode) -> list[str]:
    if any("nbval-check-output" in tags(cell) for cell in code_cells(notebook)):
        return []
    return ["no cell is tagged 'nbval-check-output'"]


def claims(notebook: NotebookNode) -> set[str]:
    """The errors of the article that the chapter's code cells show, by their tags `claim:ID`."""
    return {
        tag.removeprefix("claim:")
        for cell in code_cells(notebook)
        for tag in tags(cell)
        if tag.startswith("claim:")
    }


SKELETON_CHECKS = (
    opening_problems,
    closing_problems,
    try_it_problems,
    length_problems,
    introduction_problems,
    link_problems,
    comparison_problems,
)
