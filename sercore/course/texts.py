"""Texts made from the published tables: the README's results, and the cards of the models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sercore import article, results
from sercore.config import PROFILES, REPOSITORY
from sercore.corpora import CORPORA, EMOTIONS
from sercore.evaluation import accuracy_interval, confusion, score
from sercore.features import KINDS
from sercore.models import RECIPES, recipe_named
from sercore.store.files import write_whole

README = REPOSITORY / "README.md"
VERSIONS = ("python", "tensorflow", "keras", "librosa", "numpy")
"""What a row of results names the versions of."""

_PLURAL = {"mel": "mel spectrograms", "mfcc": "MFCCs", "functionals": "the functionals"}
_PLURAL |= {"encoder": "what the speech encoder of chapter 11 gives"}  # others keep their names
_NEEDS = """
The encoder is that of Whisper tiny.en (OpenAI 2022, MIT licence), 8,209,920 parameters that this
course did not train; `python -m sercore collect encoder` gets it. It learned from transcripts, not
from emotions. Its recordings are not published, so nobody can say whether clips of the four corpora
were among them.
"""


def write_readme(readme: Path = README, folder: Path = results.FIGURES) -> Path:
    """Bring what stands between the README's marks up to date with the tables in a folder."""
    before, _, after = parts_of(readme)
    return write_whole(readme, f"{before}{results_text(folder)}{after}")


def parts_of(readme: Path) -> list[str]:
    """Return what stands before, between and after the marks; the outer parts hold the marks."""
    start, end = "<!-- results -->\n", "<!-- end of results -->\n"
    parts = re.split(f"(?<={start})|(?={end})", readme.read_text(encoding="utf-8"))
    if len(parts) != 3:
        raise results.ResultsError(
            f"{readme.name} lacks the lines {start.strip()} and {end.strip()}, between which the "
            "results stand; put them back"
        )
    return parts


def results_text(folder: Path = results.FIGURES) -> str:
    """Return accuracies beside the article's, and what is said about them, as Markdown."""
    there = folder / "article"
    runs, trials, replays = map(results.read_results, (folder, there, there / "replay"))
    author = article.read_article_crnn(there)
    moved = confusion(author) - article.article_confusion("crnn_mfcc")
    ours = results.RunName(**runs[["profile", "model", "seed"]].iloc[0])
    shared = author["path"].isin(results.read_predictions(ours, folder)["path"])
    spread = 100 * runs.groupby(["model", "profile"])["accuracy"].agg(np.ptp)
    widest, size = spread.idxmax()
    svm = results.read_table(folder / "baselines.csv", columns=("right", "test")).iloc[0]
    columns = {"ours, its settings (`article`)": "article", "ours, profile `laptop`": "laptop"}
    text = resources.files("sercore").joinpath("data/readme_results.md").read_text("utf-8")
    return text.format(
        voices=_voices(folder),
        test=runs["test"].iloc[0],
        shared=100 * shared.mean(),
        table=_table({title: runs[runs["profile"] == name] for title, name in columns.items()}),
        moved=moved.abs().to_numpy().sum() // 2,
        answers=len(author),
        nearer=_table({"ours, its split": trials, "ours, its split and learning rates": replays}),
        spread=spread.max(),
        widest=f"{RECIPES[widest].title}, profile `{size}`",
        svm=_share(svm["right"], svm["test"]),
    )


def _voices(folder: Path) -> str:
    """Return how each model did under the protocols that choose nothing on test clips."""
    shown = (results.BY_SPEAKER, results.BY_CORPUS, results.HONEST)
    protocols = [results.read_shown(folder / each.name) for each in shown]
    theirs = article.article_figures()["accuracy"]
    lines = [
        "| model | new speakers: UAR | of these, CREMA-D | a new corpus: UAR, mean of four "
        "| known speakers: accuracy | article: accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for model, recipe in RECIPES.items():
        rows = [runs[runs["model"] == model].squeeze(axis=0) for runs in protocols]
        speaker, corpus, random = rows
        cells = [
            with_interval(speaker, "uar") if len(speaker) else "",
            percent(speaker["uar_cremad"]) if len(speaker) else "",
            percent(corpus["uar_mean"]) if len(corpus) else "",
            with_interval(random) if len(random) else "",
        ]
        cells = [cell or "not yet run" for cell in cells]
        cells.append(percent(theirs[model]) if model in theirs else "–")
        if any(map(len, rows)):
            lines.append(f"| {recipe.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _table(columns: dict[str, pd.DataFrame]) -> str:
    """Return the accuracies of each model that has a run, beside the article's."""
    lines = [f"| model | article | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    figures = article.article_figures()
    for model, recipe in RECIPES.items():
        cells = [_accuracies(runs[runs["model"] == model]) for runs in columns.values()]
        theirs = "–"
        if model in figures.index:
            n, accuracy = figures.loc[model, ["n", "accuracy"]]
            theirs = _share(round(accuracy * n), n)
        if any(cells):
            cells = [cell or "not yet run" for cell in cells]
            lines.append(f"| {recipe.title} | {theirs} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _accuracies(runs: pd.DataFrame) -> str:
    """Return one run's accuracy with its interval, or several seeds' mean and range."""
    if len(runs) < 2:
        return "".join(f"{with_interval(run)}, one seed" for _, run in runs.iterrows())
    low, mean, high = (100 * runs["accuracy"].agg(["min", "mean", "max"])).tolist()
    return f"{mean:.1f} %, {len(runs)} seeds from {low:.1f} to {high:.1f}"


def _share(right: float, n: float) -> str:
    low, high = accuracy_interval(int(right), int(n))
    return with_interval({"accuracy": right / n, "accuracy_low": low, "accuracy_high": high})


def model_card(row: Mapping[str, Any]) -> str:
    """Return the card of a published model, its figures taken from its row of results."""
    title = recipe_named(row["model"]).title
    audio, kinds = PROFILES[row["profile"]].audio, row["features"].split("+")
    shapes = [KINDS[kind].shape(audio) for kind in kinds]
    theirs = article.article_figures()["accuracy"].get(row["model"])
    whose, beside = f"{title}, which the article does not have", ""
    if theirs is not None:
        whose = f"The article's {title}"
        beside = f"; the article's confusion matrix gives {percent(theirs)}"
    shares = {key: percent(row[key]) for key in row if key.startswith(("uar", "accuracy_"))}
    facts = {
        "title": title,
        "whose": whose,
        "reads": " and ".join(_PLURAL.get(kind, kind) for kind in kinds),
        "span": "the whole"
        if any(KINDS[kind].whole for kind in kinds)
        else "the first four seconds",
        "rate": audio.sample_rate / 1000,
        "sizes": " and ".join(" × ".join(str(n or "frames") for n in shape) for shape in shapes),
        "accuracy": with_interval(row),
        "beside": beside,
    }
    text = resources.files("sercore").joinpath("data/model_card.md").read_text("utf-8")
    return text.format(**{**row, **shares, **facts})


def head_card(row: Mapping[str, Any], tested: pd.DataFrame, corpora: pd.DataFrame) -> str:
    """Return the card of a head that was trained on all speakers.

    `row` is its row of results by speaker, `tested` its answers there with `sex` and `age` beside
    them, `corpora` its row of results by corpus, or empty.
    """
    recipe = recipe_named(row["model"])
    titles = {name: corpus.title for name, corpus in CORPORA.items()}
    corpus = tested["corpus"].map(titles)
    age = pd.cut(tested["age"].astype(float), [0, 30, 50, np.inf], right=False).cat
    ages = age.rename_categories([", under 30 years", ", 30 to 49 years", ", 50 years and more"])
    # Within a corpus: all of TESS is female, all of SAVEE male, so others would compare corpora.
    aged = corpus.where(tested["corpus"] == "cremad").str.cat(ages.astype("str"))
    lines = []
    for groups in (corpus, corpus.str.cat(", " + tested["sex"]), aged):
        for group, own in tested.groupby(groups):
            told = own["speaker"].nunique(), len(own), own["emotion"].nunique()
            lines.append(
                "| {} | {} | {:,} | {} | {} |".format(group, *told, percent(score(own).uar))
            )
    away = [f"{t} {percent(u)}" for n, t in titles.items() for u in corpora.get(f"uar_{n}", ())]
    facts = {
        "title": recipe.title,
        "reads": " and ".join(_PLURAL.get(kind, kind) for kind in recipe.kinds),
        "needs": _NEEDS if "encoder" in recipe.kinds else "",
        "groups": "\n".join(lines),
        "recalls": "\n".join(f"| {e} | {percent(row[f'recall_{e}'])} |" for e in EMOTIONS),
        "corpora": "UAR " + ", ".join(away) if away else "this run is not published yet",
        "low": percent(row["uar_low"]),
        "high": percent(row["uar_high"]),
    }
    shares = {key: percent(row[key]) for key in ("uar", "accuracy")}
    text = resources.files("sercore").joinpath("data/head_card.md").read_text("utf-8")
    return text.format(**{**row, **shares, **facts})


def percent(share: float) -> str:
    """Return a share between 0 and 1 in per cent, with one decimal."""
    return f"{100 * share:.1f} %"


def with_interval(row: Mapping[str, Any], measure: str = "accuracy") -> str:
    """Return a measure of a row of results with its interval: 71.1 % (69.2 to 72.9)."""
    found, low, high = (100 * row[f"{measure}{end}"] for end in ("", "_low", "_high"))
    return f"{found:.1f} % ({low:.1f} to {high:.1f})"
