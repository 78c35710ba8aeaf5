"""Draw, one function a picture: each takes axes or makes them, and returns the axes it drew on."""

from __future__ import annotations

from itertools import cycle

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator, ScalarFormatter

from sercore.config import AudioConfig, figure_dpi
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
    """Set the course's style: seaborn's darkgrid, and as many dots per inch as `SER_DPI` says."""
    sns.set_theme(style="darkgrid", palette="magma")
    plt.rcParams["figure.dpi"] = figure_dpi()


def _title(model: str) -> str:
    return RECIPES[model].title if model in RECIPES else model


def _colour(model: str) -> str:
    return RECIPES[model].colour if model in RECIPES else "0.35"


def _axes(ax: Axes | None, width: float = 7.0, height: float = 3.5) -> Axes:
    return ax if ax is not None else plt.subplots(figsize=(width, height), layout="tight")[1]


def counts(clips: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many clips each label has, as bars with their numbers (chapter 3).

    Parameters
    ----------
    clips : pandas.DataFrame
        With a column `emotion`; calm is drawn where it occurs.
    ax : Axes, optional

    Returns
    -------
    Axes
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
    """Draw samples against time (chapter 3).

    Parameters
    ----------
    clip : numpy.ndarray, shape (n_samples,)
    sample_rate : int
        Hz.
    emotion : str, optional
        Gives the colour and the title.
    ax : Axes, optional

    Returns
    -------
    Axes
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
    ax: Axes | None = None,
) -> Axes:
    """Draw a mel spectrogram or MFCCs against time, with a colour bar (chapters 3 and 4).

    Parameters
    ----------
    values : numpy.ndarray, shape (n_rows, n_frames)
    config : AudioConfig
        Its rate and hop give the time axis.
    rows : {"mel", "coefficient"}
        What a row is: a mel band, labelled in Hz, or a numbered coefficient.
    unit : str
        Label of the colour bar.
    title : str
    limits : tuple of float, optional
        Values that get the darkest and the brightest colour, to compare pictures; the least and
        the greatest of `values` without it.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    image = librosa.display.specshow(
        np.asarray(values, dtype=np.float32),
        sr=config.sample_rate,
        hop_length=config.hop_length,
        n_fft=config.n_fft,
        x_axis="time",
        y_axis="mel" if rows == "mel" else None,
        cmap=SPECTRAL_PALETTE,
        vmin=limits[0] if limits else None,
        vmax=limits[1] if limits else None,
        ax=ax,
    )
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
    """Draw how one measure is spread within each emotion, as boxes (chapter 3).

    Parameters
    ----------
    table : pandas.DataFrame
        With `emotion` and `column`.
    column : str
        The measure.
    unit : str
        Unit of the measure, for the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    present = [label for label in LABELS if label in set(table["emotion"])]
    sns.boxplot(
        table,
        x=column,
        y="emotion",
        order=present,
        hue="emotion",
        palette=EMOTION_COLOURS,
        legend=False,
        fliersize=2,
        ax=ax,
    )
    name = column.replace("_", " ")
    ax.set(xlabel=f"{name} in {unit}" if unit else name, ylabel="")
    return ax


def history(table: pd.DataFrame, *, measure: str = "loss", ax: Axes | None = None) -> Axes:
    """Draw a measure over the epochs, on the training and on the test clips (chapter 5).

    Parameters
    ----------
    table : pandas.DataFrame
        A run's history.
    measure : {"loss", "accuracy"}
    ax : Axes, optional

    Returns
    -------
    Axes
        The epoch whose weights were kept is marked; the test loss chose it.
    """
    ax = _axes(ax)
    # One ink, for a colour means a model in other pictures.
    ax.plot(table.index, table[measure], color="0.15", linestyle="--", label="training clips")
    ax.plot(table.index, table[f"val_{measure}"], color="0.15", label="test clips")
    best = table["val_loss"].idxmin()
    ax.axvline(best, color="0.4", linestyle=":", label=f"kept: epoch {best}")
    ax.set(xlabel="epoch", ylabel=measure)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


def losses(
    article: pd.DataFrame, ours: dict[str, pd.DataFrame], *, model: str, ax: Axes | None = None
) -> Axes:
    """Draw the training loss of several trainings of one model over the epochs (chapter 8).

    Parameters
    ----------
    article : pandas.DataFrame
        As `published.read_article_curves` returns it.
    ours : dict of str to pandas.DataFrame
        Histories; the keys go into the legend.
    model : str
        One of `RECIPES`.
    ax : Axes, optional

    Returns
    -------
    Axes
        The article's as black dots, ours as lines in the model's colour.
    """
    ax = _axes(ax)
    for (label, table), style in zip(ours.items(), cycle(("-", "--", ":", "-.")), strict=False):
        ax.plot(table.index, table["loss"], style, color=RECIPES[model].colour, label=label)
    # Dots alone, and on top, so that a line that they lie on is still seen.
    ax.plot(article.index, article["loss"], "o", color="0.15", ms=3, label="article")
    ax.set(title=RECIPES[model].title, xlabel="epoch", ylabel="training loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


def confusion(table: pd.DataFrame, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: shares of each true class, with the counts written in (chapter 5).

    Parameters
    ----------
    table : pandas.DataFrame, shape (7, 7)
        As `evaluation.confusion` returns it.
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax, 7.0, 5.5)
    shares = table.div(table.sum(axis=1).replace(0, 1), axis=0)
    sns.heatmap(
        shares,
        annot=table,
        fmt="d",
        vmin=0,
        vmax=1,
        cmap=SPECTRAL_PALETTE,
        square=True,
        cbar_kws={"label": "share of the true class"},
        ax=ax,
    )
    ax.set(xlabel="predicted", ylabel="truth", title=title)
    ax.tick_params(axis="x", rotation=40)
    ax.tick_params(axis="y", rotation=0)
    return ax


def comparison(
    scores: pd.DataFrame, *, reference: pd.Series | None = None, ax: Axes | None = None
) -> Axes:
    """Draw each model's accuracy with its interval, beside a reference (chapter 8).

    Parameters
    ----------
    scores : pandas.DataFrame
        As `evaluation.score_table` returns it, indexed by model.
    reference : pandas.Series, optional
        The article's accuracies, indexed by model.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax, height=0.6 * len(scores) + 1.5)
    for y, (name, row) in enumerate(scores.iterrows()):
        error = [[100 * (row["accuracy"] - row["low"])], [100 * (row["high"] - row["accuracy"])]]
        colour = _colour(name)
        ax.errorbar(100 * row["accuracy"], y, xerr=error, fmt="o", color=colour, capsize=4)
    if reference is not None:
        known = reference.reindex(scores.index)
        ax.plot(100 * known, range(len(scores)), "D", mfc="none", mec="0.2", ls="", label="article")
        ax.legend()
    titles = [_title(name) for name in scores.index]
    ax.set_yticks(range(len(scores)), titles)
    ax.invert_yaxis()
    ax.margins(y=0.25)
    ax.set(xlabel="accuracy in %, with 95 % interval")
    return ax


def published_runs(results: pd.DataFrame, *, reference: pd.Series, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of every published run beside the article's (chapter 8).

    Parameters
    ----------
    results : pandas.DataFrame
        As `published.read_results` returns it.
    reference : pandas.Series
        The article's accuracies, indexed by model.
    ax : Axes, optional

    Returns
    -------
    Axes
        A row per model and profile; a dot with its 95 % interval for each seed.
    """
    groups = [
        (model, profile, group)
        for model in RECIPES
        for profile, group in results[results["model"] == model].groupby("profile")
    ]
    ax = _axes(ax, height=0.5 * len(groups) + 1.5)
    for y, (model, _, group) in enumerate(groups):
        # Seeds stand a little above each other.
        places = y + 0.18 * (np.arange(len(group)) - (len(group) - 1) / 2)
        accuracy = 100 * group["accuracy"]
        error = [accuracy - 100 * group["accuracy_low"], 100 * group["accuracy_high"] - accuracy]
        colour = RECIPES[model].colour
        ax.errorbar(accuracy, places, xerr=error, fmt="o", ms=5, color=colour, capsize=3)
        label = "article" if y == 0 else None
        ax.plot(100 * reference[model], y, "D", mfc="none", mec="0.2", ls="", label=label)
    titles = [f"{RECIPES[model].title}, {profile}" for model, profile, _ in groups]
    ax.set_yticks(range(len(groups)), titles)
    ax.invert_yaxis()
    ax.margins(y=0.15)
    ax.set(xlabel="accuracy in %, a dot per seed, with 95 % interval")
    ax.legend(loc="best")
    return ax


def _grouped_bars(
    tables: dict[str, pd.DataFrame], column: str, groups: list[str], ax: Axes
) -> None:
    """Draw a bar for each model in each group of its table."""
    width = 0.8 / len(tables)
    for i, (name, table) in enumerate(tables.items()):
        x = np.arange(len(groups)) + (i - (len(tables) - 1) / 2) * width
        label, colour = _title(name), _colour(name)
        ax.bar(x, table[column].reindex(groups), width, color=colour, label=label)
    ax.legend(ncols=len(tables), loc="lower center", bbox_to_anchor=(0.5, 1.0))


def class_scores(tables: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw the F1 of each emotion for several models side by side (chapter 8).

    Parameters
    ----------
    tables : dict
        From model to what `evaluation.per_class` returns.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    _grouped_bars(tables, "f1", list(EMOTIONS), ax)
    ax.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=20)
    ax.set(ylabel="F1", ylim=(0, 1))
    return ax


def corpus_scores(tables: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy within each corpus for several models side by side (chapter 8).

    Parameters
    ----------
    tables : dict
        From model to what `evaluation.per_corpus` returns.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    first = next(iter(tables.values()))
    percent = {
        model: table.assign(accuracy=100 * table["accuracy"]) for model, table in tables.items()
    }
    _grouped_bars(percent, "accuracy", list(first.index), ax)
    titles = [CORPORA[name].title if name in CORPORA else name for name in first.index]
    labels = [f"{title}\n{n} clips" for title, n in zip(titles, first["n"], strict=True)]
    ax.set_xticks(range(len(labels)), labels)
    ax.set(ylabel="accuracy in %", ylim=(0, 100))
    return ax
