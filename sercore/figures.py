"""Pictures, one function each: it draws on the axes given, or on new ones, and returns them."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator, ScalarFormatter

from sercore.config import AudioConfig
from sercore.corpora import CORPORA, EMOTIONS, LABELS
from sercore.models import RECIPES

EMOTION_COLOURS = {
    "anger": "#c4342d",
    "disgust": "#6b8e23",
    "fear": "#7b4ea3",
    "happiness": "#e0a100",
    "neutral": "#7a7a7a",
    "sadness": "#2f6db3",
    "surprise": "#1f9e89",
    "calm": "#9ccbe8",
}
"""One colour per label, in every picture of the course."""

SPECTRAL_PALETTE = "magma"


def use_style() -> None:
    """Set the course's style: seaborn's darkgrid; 9 inches are as wide as a page."""
    sns.set_theme(style="darkgrid", palette="magma", rc={"figure.dpi": 80})


def _axes(ax: Axes | None, width: float = 7.0, height: float = 3.5) -> Axes:
    return ax if ax is not None else plt.subplots(figsize=(width, height), layout="tight")[1]


def _title_and_colour(model: str) -> tuple[str, str]:
    """Return those of the model's recipe; for a baseline, which has none, its name and grey."""
    recipe = RECIPES.get(model)
    return (recipe.title, recipe.colour) if recipe else (model, "0.35")


def counts(clips: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many clips each label has, as bars with their numbers (chapter 3).

    Calm has a bar only where it occurs.
    """
    ax = _axes(ax)
    present = [label for label in LABELS if label != "calm" or "calm" in set(clips["emotion"])]
    numbers = clips["emotion"].value_counts().reindex(present, fill_value=0)
    bars = ax.barh(present, numbers, color=[EMOTION_COLOURS[label] for label in present])
    ax.bar_label(bars, padding=3)
    ax.invert_yaxis()
    ax.margins(x=0.2)  # room for the numbers
    ax.set(xlabel="clips")
    return ax


def waveform(
    clip: np.ndarray, *, sample_rate: int, emotion: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the samples of a clip against time (chapter 3).

    `sample_rate` is in Hz. `emotion` gives the colour and the title.
    """
    ax = _axes(ax, height=2.0)
    colour = EMOTION_COLOURS[emotion] if emotion else None
    ax.plot(np.arange(len(clip)) / sample_rate, clip, color=colour, linewidth=0.5)
    ax.set(xlabel="time in s", ylabel="amplitude", title=emotion or "")
    return ax


def spectrogram(
    values: np.ndarray,
    *,
    config: AudioConfig,
    rows: str = "mel",
    unit: str = "dB",
    title: str = "",
    limits: tuple[float, float] | None = None,
    bar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw a mel spectrogram or MFCCs, shape (rows, frames), against time (chapters 3 and 4).

    `rows` says what a row is: "mel", a band, labelled in Hz, or "coefficient". The rate and the hop
    of `config` give the time axis. `unit` stands at the colour bar. `limits` are the values of the
    darkest and the brightest colour; with the same limits, pictures can be compared, and need no
    colour `bar` each.
    """
    ax = _axes(ax)
    low, high = limits or (None, None)
    options: dict[str, Any] = {"sr": config.sample_rate, "hop_length": config.hop_length}
    options |= {"n_fft": config.n_fft, "x_axis": "time", "y_axis": "mel" if rows == "mel" else None}
    few = plt.get_cmap(SPECTRAL_PALETTE, 32)  # as many as eyes need; the file is smaller
    options |= {"cmap": few, "vmin": low, "vmax": high, "ax": ax}
    image = librosa.display.specshow(np.asarray(values, dtype=np.float32), **options)
    if bar:
        ax.figure.colorbar(image, ax=ax, label=unit)
    # librosa marks every half second, too close together for pictures side by side.
    ax.xaxis.set_major_locator(MultipleLocator(1))
    ax.set(xlabel="time in s", ylabel="frequency in Hz", title=title)
    if rows != "mel":
        ax.set_ylabel("coefficient")
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.yaxis.set_major_formatter(ScalarFormatter())
    return ax


def by_emotion(table: pd.DataFrame, column: str, *, unit: str = "", ax: Axes | None = None) -> Axes:
    """Draw how a column of `table` is spread within each emotion, as boxes (chapter 3)."""
    ax = _axes(ax)
    order = [label for label in LABELS if label in set(table["emotion"])]
    colours = {"hue": "emotion", "palette": EMOTION_COLOURS, "legend": False}
    sns.boxplot(table, x=column, y="emotion", order=order, fliersize=2, ax=ax, **colours)
    name = column.replace("_", " ")
    ax.set(xlabel=f"{name} in {unit}" if unit else name, ylabel="")
    return ax


def history(
    table: pd.DataFrame, *, measure: str = "loss", valid: str = "test clips", ax: Axes | None = None
) -> Axes:
    """Draw a measure of a run's history over the epochs, "loss" or "accuracy" (chapter 5).

    `valid` names the validation set in the legend: in the article's split it is the test set. The
    epoch whose weights were kept is marked: the one with the least validation loss.
    """
    ax = _axes(ax)
    # One ink, because in other pictures a colour means a model.
    ax.plot(table.index, table[measure], color="0.15", linestyle="--", label="training clips")
    ax.plot(table.index, table[f"val_{measure}"], color="0.15", label=valid)
    best = table["val_loss"].idxmin()
    ax.axvline(best, color="0.4", linestyle=":", label=f"kept: epoch {best}")
    ax.set(xlabel="epoch", ylabel=measure)
    ax.locator_params("x", integer=True)
    ax.legend()
    return ax


def losses(
    article: pd.DataFrame, ours: dict[str, pd.DataFrame], *, model: str, ax: Axes | None = None
) -> Axes:
    """Draw the training loss of several trainings of one model over the epochs (appendix A).

    The article's curve (`article.read_article_curves`) is black dots; the histories of our own
    runs, by their label in the legend, are lines in the model's colour.
    """
    ax = _axes(ax)
    title, colour = _title_and_colour(model)
    for (label, table), style in zip(ours.items(), cycle(("-", "--", ":", "-.")), strict=False):
        ax.plot(table.index, table["loss"], style, color=colour, label=label)
    # Dots alone, and on top, so that a line below them can still be seen.
    ax.plot(article.index, article["loss"], "o", color="0.15", ms=3, label="article")
    ax.set(title=title, xlabel="epoch", ylabel="training loss")
    ax.locator_params("x", integer=True)
    ax.legend()
    return ax


def confusion(table: pd.DataFrame, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix, its counts or shares written in (chapters 5 and 9).

    Colours are shares of each true class.
    """
    ax = _axes(ax, 7.0, 5.5)
    written = ".0%" if table.to_numpy().dtype.kind == "f" else "d"
    shares = table.div(table.sum(axis=1).replace(0, 1), axis=0)
    colours = {"vmin": 0, "vmax": 1, "cmap": SPECTRAL_PALETTE}
    bar = {"label": "share of the true class"}
    sns.heatmap(shares, annot=table, fmt=written, square=True, cbar_kws=bar, ax=ax, **colours)
    ax.set(xlabel="predicted", ylabel="truth", title=title)
    ax.tick_params(axis="x", rotation=40)
    ax.tick_params(axis="y", rotation=0)
    return ax


def comparison(
    scores: pd.DataFrame, *, reference: pd.Series | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the accuracy of each row of `evaluation.score_table` with its interval (chapter 8).

    `reference` holds the article's accuracies by model. A model that it lacks has no diamond.
    """
    ax = _axes(ax, height=0.6 * len(scores) + 1.5)
    rows = [(name, _title_and_colour(name)[0], scores.loc[[name]]) for name in scores.index]
    _dots(ax, rows, reference, margin=0.25, capsize=4)
    ax.set(xlabel="accuracy in %, with 95 % interval")
    return ax


def published_runs(results: pd.DataFrame, *, reference: pd.Series, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of every run in `results` beside the article's (chapter 8).

    A row for each model and profile; a dot with its 95 % interval for each seed. `reference` is
    that of `comparison`.
    """
    results = results.rename(columns={"accuracy_low": "low", "accuracy_high": "high"})
    rows = [
        (model, f"{recipe.title}, {profile}'s settings", runs)
        for model, recipe in RECIPES.items()
        for profile, runs in results[results["model"] == model].groupby("profile")
    ]
    ax = _axes(ax, height=0.5 * len(rows) + 1.5)
    _dots(ax, rows, reference, margin=0.15, ms=5, capsize=3)
    ax.set(xlabel="accuracy in %, a dot per seed, with 95 % interval")
    return ax


_Row = tuple[str, str, pd.DataFrame]  # a model, its title and the scores of its runs


def _dots(
    ax: Axes, rows: list[_Row], reference: pd.Series | None, *, margin: float, **style: Any
) -> None:
    """Draw a dot with its interval for each run, and the article's figure as a diamond."""
    for y, (model, _, table) in enumerate(rows):
        # Seeds stand a little above each other.
        places = y + 0.18 * (np.arange(len(table)) - (len(table) - 1) / 2)
        accuracy, low, high = (100 * table[column] for column in ("accuracy", "low", "high"))
        error, colour = [accuracy - low, high - accuracy], _title_and_colour(model)[1]
        ax.errorbar(accuracy, places, xerr=error, fmt="o", color=colour, **style)
    if reference is not None:
        known = 100 * reference.reindex([model for model, _, _ in rows])
        ax.plot(
            known, range(len(rows)), "D", mfc="none", mec="0.2", ls="", label="the article itself"
        )
        ax.legend()
    ax.set_yticks(range(len(rows)), [title for _, title, _ in rows])
    ax.invert_yaxis()
    ax.margins(y=margin)


def class_scores(tables: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw each emotion's F1 (`evaluation.per_class`) for several models, by name (chapter 8)."""
    ax = _axes(ax)
    _grouped_bars({model: table["f1"] for model, table in tables.items()}, list(EMOTIONS), ax)
    ax.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=20)
    ax.set(ylabel="F1", ylim=(0, 1))
    return ax


def corpus_scores(tables: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy within each corpus (`evaluation.per_corpus`) for several models."""
    ax = _axes(ax)
    first = next(iter(tables.values()))
    percent = {model: 100 * table["accuracy"] for model, table in tables.items()}
    _grouped_bars(percent, list(first.index), ax)
    titles = [CORPORA[name].title if name in CORPORA else name for name in first.index]
    labels = [f"{title}\n{n} clips" for title, n in zip(titles, first["n"], strict=True)]
    ax.set_xticks(range(len(labels)), labels)
    ax.set(ylabel="accuracy in %", ylim=(0, 100))
    return ax


def speaker_scores(table: pd.DataFrame, *, measure: str = "uar", ax: Axes | None = None) -> Axes:
    """Draw a dot for each speaker (`evaluation.per_speaker`), a row for each corpus (chapter 9).

    Beside them stands the median of the row, as a line.
    """
    ax, corpora = _axes(ax), list(dict.fromkeys(table["corpus"]))
    random = np.random.default_rng(0)
    for y, corpus in enumerate(corpora):
        values = 100 * table.loc[table["corpus"] == corpus, measure]
        places = y + random.uniform(-0.25, 0.25, len(values)) * (len(values) > 4)
        ax.plot(values, places, "o", ms=5, alpha=0.6, color="#2a788e")
        ax.vlines(values.median(), y - 0.4, y + 0.4, color="0.15")
    ax.set_yticks(range(len(corpora)), [CORPORA[c].title if c in CORPORA else c for c in corpora])
    ax.invert_yaxis()
    ax.set(xlabel=f"{measure.upper() if measure == 'uar' else measure} in %, a dot per speaker")
    return ax


def cost(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw UAR against CPU minutes, a dot for each model with its interval (chapter 11).

    Columns `model`, `minutes`, `uar`, `uar_low` and `uar_high`. Minutes lie on a logarithmic scale.
    """
    ax = _axes(ax)
    for row in table.to_dict("records"):
        title, colour = _title_and_colour(row["model"])
        low, middle, high = (100 * row[key] for key in ("uar_low", "uar", "uar_high"))
        ax.vlines(row["minutes"], low, high, color=colour)
        ax.plot(row["minutes"], middle, "o", ms=8, color=colour)
        ax.annotate(
            title, (row["minutes"], middle), (7, 0), textcoords="offset points", va="center"
        )
    ax.set(xscale="log", xlabel="CPU minutes, features and training", ylabel="UAR in %")
    ax.set_xticks(places := [1, 3, 10, 30, 100, 300], [str(place) for place in places])
    ax.set_xlim(table["minutes"].min() / 2, 4 * table["minutes"].max())
    ax.minorticks_off()
    return ax


def _grouped_bars(columns: dict[str, pd.Series], groups: list[str], ax: Axes) -> None:
    """Draw a bar for each model in each group."""
    width = 0.8 / len(columns)
    for i, (name, column) in enumerate(columns.items()):
        x = np.arange(len(groups)) + (i - (len(columns) - 1) / 2) * width
        label, colour = _title_and_colour(name)
        ax.bar(x, column.reindex(groups), width, color=colour, label=label)
    ax.legend(ncols=len(columns), loc="lower center", bbox_to_anchor=(0.5, 1.0))
