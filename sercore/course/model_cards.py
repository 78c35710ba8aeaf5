"""The card of a trained model: what it is, how good, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from sercore.article import article_figures
from sercore.config import PROFILES
from sercore.corpora import CORPORA, EMOTIONS
from sercore.features import KINDS
from sercore.models import recipe_named

VERSIONS = ("python", "tensorflow", "keras", "librosa", "numpy")
"""What a row of results names the versions of."""

_PLURAL = {"mel": "mel spectrograms", "mfcc": "MFCCs"}  # another kind is called by its name


def model_card(row: Mapping[str, Any]) -> str:
    """Return the card of a published model, its figures taken from its row of results."""
    title = recipe_named(row["model"]).title
    audio, kinds = PROFILES[row["profile"]].audio, row["features"].split("+")
    shapes = [KINDS[kind].shape(audio) for kind in kinds]
    theirs = article_figures()["accuracy"].get(row["model"])
    whose, beside = f"{title}, which the article does not have", ""
    if theirs is not None:
        whose = f"The article's {title}"
        beside = f"; the article's confusion matrix gives {percent(theirs)}"
    corpora = [f"| {c.title} | {percent(row[f'accuracy_{c.name}'])} |" for c in CORPORA.values()]
    facts = {
        "title": title,
        "whose": whose,
        "reads": " and ".join(_PLURAL.get(kind, kind) for kind in kinds),
        "span": "the whole" if any(None in shape for shape in shapes) else "the first four seconds",
        "rate": audio.sample_rate / 1000,
        "sizes": " and ".join(" × ".join(str(n or "frames") for n in shape) for shape in shapes),
        "accuracy": with_interval(row),
        "beside": beside,
        "uar": percent(row["uar"]),
        "macro": f"{row['macro_f1']:.2f}",
        "corpora": "\n".join(corpora),
        "f1": "\n".join(f"| {emotion} | {row[f'f1_{emotion}']:.2f} |" for emotion in EMOTIONS),
    }
    text = resources.files("sercore").joinpath("data/model_card.md").read_text("utf-8")
    return text.format(**{**row, **facts})


def percent(share: float) -> str:
    """Return a share between 0 and 1 in per cent, with one decimal."""
    return f"{100 * share:.1f} %"


def with_interval(row: Mapping[str, Any]) -> str:
    """Return the accuracy of a row of results with its interval: 71.1 % (69.2 to 72.9)."""
    accuracy, low, high = (100 * row[f"accuracy{end}"] for end in ("", "_low", "_high"))
    return f"{accuracy:.1f} % ({low:.1f} to {high:.1f})"
