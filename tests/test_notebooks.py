"""The chapters as they are stored: what their outputs hold, and their skeleton."""

import base64
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_checks import (
    SKELETON_CHECKS,
    bullets_below,
    claims,
    closing_problems,
    comparison_problems,
    introduction_problems,
    length_problems,
    link_problems,
    opening_problems,
    try_it_problems,
)

from sercore.course.runner import NOTEBOOKS
from sercore.course.storing import (
    audio_problems,
    count_problems,
    error_problems,
    log_problems,
    path_problems,
    picture_problems,
    size_problems,
    stderr_problems,
)

CHAPTERS = (
    "01_collection",
    "02_wrangling",
    "03_exploration",
    "04_preprocessing",
    "05_cnn_mel",
    "06_cnn_mfcc",
    "07_crnn_mfcc",
    "08_evaluation",
)

CLAIMS = {
    "03_exploration": ("decibel-is-level", "calm-dropped", "groupby-apply"),
    "04_preprocessing": (
        "librosa-defaults",
        "ref-min",
        "empty-bands",
        "padding-share",
        "mfcc-invertible",
        "one-shift-one-scale",
        "no-shuffle",
        "speaker-overlap",
        "memory",
    ),
    "05_cnn_mel": ("pooling-discards-position", "test-chooses-epoch"),
    "07_crnn_mfcc": ("sequence-length-one", "frozen-weights", "overfitting"),
    "08_evaluation": ("fear-sadness", "mfcc-beats-mel", "state-of-the-art"),
}


OUTPUT_CHECKS = (
    audio_problems,
    path_problems,
    log_problems,
    stderr_problems,
    picture_problems,
    error_problems,
    count_problems,
)


@cache
def chapter(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_the_chapters_are_the_eight_of_the_course():
    assert [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))] == list(CHAPTERS)


@pytest.mark.parametrize("check", (*OUTPUT_CHECKS, *SKELETON_CHECKS), ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_has_no(name, check):
    assert check(chapter(name)) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_is_small(name):
    assert size_problems((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "claim"), [(name, claim) for name, found in CLAIMS.items() for claim in found]
)
def test_error_of_the_article_is_shown(name, claim):
    assert claim in claims(chapter(name))


# --- Each check passes a good notebook and fails on one that is bad in its own way ------------

LEARN_LIST = "- what a frame is\n- what a mel band\n  is\n- what a DCT keeps\n"


def png(width: int) -> str:
    """The head of a PNG file, base64: its signature and the size."""
    head = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x0dIHDR" + width.to_bytes(4) + (10).to_bytes(4)
    return base64.b64encode(head).decode()


def code(source: str, count: int, *, outputs=(), tag: str | None = None):
    metadata = {"tags": [tag]} if tag else {}
    return new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)


def good_notebook():
    return new_notebook(
        cells=[
            new_markdown_cell(
                f"# Title\n\nIn this chapter you will learn\n\n{LEARN_LIST}\n"
                "**You need:** one minute, no data."
            ),
            code("1 + 1", 1, tag="nbval-check-output"),
            new_markdown_cell("A picture of 10 inches."),
            code("draw()", 2, outputs=[new_output("display_data", data={"image/png": png(720)})]),
            new_markdown_cell(f"## What you have learned\n\n{LEARN_LIST}"),
            new_markdown_cell("## Try it\n\nChange the 2."),
            code("2", 3, tag="try-it"),
            new_markdown_cell("Change the 3."),
            code("3", 4, tag="try-it"),
        ]
    )


def with_output(output):
    def change(notebook):
        notebook.cells[1].outputs = [output]

    return change


def with_stream(name: str, text: str):
    return with_output(new_output("stream", name=name, text=text))


def with_text(text: str):
    return with_stream("stdout", text)


def with_data(**data):
    return with_output(
        new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})
    )


def with_source(place: int, old: str, new: str):
    def change(notebook):
        assert old in notebook.cells[place].source
        notebook.cells[place].source = notebook.cells[place].source.replace(old, new)

    return change


def with_tags(place: int, *tags: str):
    def change(notebook):
        notebook.cells[place].metadata.tags = list(tags)

    return change


def with_count(count):
    def change(notebook):
        notebook.cells[3].execution_count = count

    return change


def without(place: int):
    def change(notebook):
        del notebook.cells[place]

    return change


def with_cells(count: int):
    def change(notebook):
        notebook.cells += [code("x", 0) for _ in range(count)]

    return change


TF_LOG = "2025-01-02 03:04:05.678901: I tensorflow/core/platform/cpu_feature_guard.cc:210] This\n"
ABSL_LOG = "E0000 00:00:1736900000.123456   12345 cuda_dnn.cc:8310] Unable to register\n"

BAD = {
    "a player": (audio_problems, with_data(text_html="<audio controls></audio>")),
    "a data URI": (audio_problems, with_data(text_html='<a href="data:audio/wav;base64,AA">')),
    "an audio output": (audio_problems, with_data(audio_mpeg="AAAA")),
    "a home folder": (path_problems, with_text("/home/someone/clip.wav")),
    "a warning's file": (path_problems, with_text("/tmp/ipykernel_1/2.py:3: UserWarning")),
    "a drive": (path_problems, with_text("C:\\Users\\someone")),
    "the repository": (path_problems, with_text(str(Path(NOTEBOOKS)))),
    "TensorFlow's log": (log_problems, with_text("ready\n" + TF_LOG)),
    "absl's log": (log_problems, with_text(ABSL_LOG)),
    "a warning": (stderr_problems, with_stream("stderr", "FutureWarning: soon\n")),
    "a wide picture": (picture_problems, with_data(image_png=png(721))),
    "a JPEG": (picture_problems, with_data(image_jpeg="AAAA")),
    "a cell not run": (count_problems, with_count(None)),
    "a cell run again": (count_problems, with_count(9)),
    "an error": (
        error_problems,
        with_output(new_output("error", ename="E", evalue="", traceback=[])),
    ),
    "no title": (opening_problems, with_source(0, "# Title", "Title")),
    "a missing bullet": (opening_problems, with_source(0, "- what a DCT keeps\n", "")),
    "no needs": (opening_problems, with_source(0, "**You need:**", "You need")),
    "another bullet": (closing_problems, with_source(4, "a DCT keeps", "a DCT loses")),
    "no summary": (closing_problems, without(4)),
    "a cell after the summary": (closing_problems, with_tags(6)),
    "one Try it cell": (try_it_problems, without(8)),
    "an untagged Try it cell": (try_it_problems, with_tags(8)),
    "a tag elsewhere": (try_it_problems, with_tags(3, "try-it")),
    "no Try it": (try_it_problems, with_source(5, "## Try it", "## More")),
    "16 lines": (length_problems, with_source(1, "1 + 1", "x = 1\n" * 16)),
    "26 cells": (length_problems, with_cells(22)),
    "code after code": (introduction_problems, without(2)),
    "a link to a file": (link_problems, with_source(2, "A picture", "[A](../b.md 'b') picture")),
    "a tag to a file": (link_problems, with_source(2, "A picture", "<a href='b.md'>A</a> picture")),
    "a link to no chapter": (link_problems, with_source(2, "A", "[A](09_more.ipynb)")),
    "nothing compared": (comparison_problems, with_tags(1)),
}


@pytest.mark.parametrize("check", (*OUTPUT_CHECKS, *SKELETON_CHECKS), ids=lambda c: c.__name__)
def test_check_passes_a_good_notebook(check):
    assert check(good_notebook()) == []


@pytest.mark.parametrize(("check", "change"), BAD.values(), ids=BAD.keys())
def test_check_fails_on(check, change):
    notebook = good_notebook()
    change(notebook)
    assert len(check(notebook)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "10 km/h, and/or, 1/2",
        "see https://example.org/home/page and ~/data",
        "data/cremad/1001_DFA_ANG_XX.wav",
        "../usr/share",
        "ratio a:b, 3:4",
    ],
)
def test_what_is_no_absolute_path(text):
    notebook = good_notebook()
    with_text(text)(notebook)
    assert path_problems(notebook) == []


def test_the_folder_of_the_corpora_is_private():
    notebook = good_notebook()
    with_text("speech/tess/clip.wav")(notebook)
    assert path_problems(notebook) == []
    assert len(path_problems(notebook, data=Path("speech"))) == 1


@pytest.mark.parametrize(
    "text", ["[here](#a)", "[there](01_collection.ipynb#a)", "<https://example.org>", "`d[i](x)`"]
)
def test_links_that_a_page_has(text):
    notebook = good_notebook()
    with_source(2, "A picture", text)(notebook)
    assert link_problems(notebook) == []


def test_an_empty_standard_error_is_no_problem():
    notebook = good_notebook()
    with_stream("stderr", "")(notebook)
    assert stderr_problems(notebook) == []


def test_a_megabyte_is_too_large():
    assert size_problems("x" * 999_999) == []
    assert len(size_problems("x" * 1_000_000)) == 1


def test_claims_are_read_from_code_cells_only():
    notebook = good_notebook()
    with_tags(0, "claim:in-text")(notebook)
    with_tags(1, "claim:in-code", "other")(notebook)
    assert claims(notebook) == {"in-code"}


def test_bullets_end_with_their_list():
    text = "- before\n\nyou will learn:\n\n- one\n  more\n\n* two\n\nText.\n\n- other"
    assert bullets_below(text, "you will learn") == ["one more", "two"]
