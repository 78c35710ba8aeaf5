"""Pictures fit for a slide, written to `figures/` (chapters 3, 4 and 8).

The first half is drawn from clips, the second from the published results alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sercore import figures
from sercore.article import article_figures
from sercore.config import PROFILES
from sercore.corpora import CORPORA, LABELS
from sercore.evaluation import confusion, per_class, per_corpus
from sercore.features import load_clip, mel_spectrogram, mfcc
from sercore.models import RECIPES
from sercore.results import FIGURES, RunName, read_history, read_predictions, read_results

WIDTH, DPI = 9.0, 120
"""Inches and dots per inch: 1,080 dots wide, so that text stays readable at half a page."""

SHOWN_SEED = 0
"""Seed of the runs whose curves and confusions are drawn; fixed before any was trained."""


@contextmanager
def _slide_style() -> Iterator[None]:
    """Draw in the course's style, with letters large enough for a slide."""
    with plt.rc_context():
        sns.set_theme(style="darkgrid", palette="magma", context="notebook", font_scale=1.05)
        yield


def _save(figure: Figure, name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    # Matplotlib would write its version into the file, and change it with every update.
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return path


# --- from clips -----------------------------------------------------------------------------------


def examples(clips: pd.DataFrame) -> pd.DataFrame:
    """Choose one clip of each emotion, all by one speaker saying one sentence (RAVDESS).

    Parameters
    ----------
    clips : pandas.DataFrame
        Rows of a manifest that hold RAVDESS.

    Returns
    -------
    pandas.DataFrame
        A row for each of `LABELS`, in their order: speaker 1, first sentence, first take, of
        normal intensity.

    Raises
    ------
    ValueError
        If an emotion has no such clip.
    """
    chosen = clips[
        (clips["speaker"] == "ravdess_01")
        & (clips["sentence"] == "01")
        & (clips["intensity"] == "normal")
    ].drop_duplicates("emotion")
    missing = [label for label in LABELS if label not in set(chosen["emotion"])]
    if missing:
        raise ValueError(
            f"RAVDESS's first speaker has no clip of {', '.join(missing)}; "
            "is RAVDESS complete? `python -m sercore check` tells"
        )
    return chosen.set_index("emotion").loc[list(LABELS)].reset_index()


def draw_clips(clips: pd.DataFrame, root: Path, folder: Path = FIGURES) -> list[Path]:
    """Draw class counts, and waveform, mel spectrogram and MFCCs of one clip per emotion.

    Parameters
    ----------
    clips : pandas.DataFrame
        The article's view of the manifest, with calm.
    root : path
        Folder the clips' paths are relative to.
    folder : path
        Where the pictures go.

    Returns
    -------
    list of Path
        The pictures written.
    """
    chosen = examples(clips)
    audio = PROFILES["article"].audio
    sounds = [load_clip(root / path, config=audio) for path in chosen["path"]]
    with _slide_style():
        return [
            _save(_class_counts(clips), "class_counts", folder),
            _save(_waveforms(chosen, sounds), "waveforms", folder),
            _save(_spectra(chosen, sounds, "mel"), "mel_spectrograms", folder),
            _save(_spectra(chosen, sounds, "mfcc"), "mfcc", folder),
        ]


def _class_counts(clips: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 6.2), layout="constrained")
    for ax, corpus in zip(axes.flat, CORPORA.values(), strict=True):
        figures.counts(clips[clips["corpus"] == corpus.name], ax=ax)
        ax.set_title(f"{corpus.title}: {(clips['corpus'] == corpus.name).sum():,} clips")
    return figure


def _waveforms(chosen: pd.DataFrame, sounds: list[np.ndarray]) -> Figure:
    rate = PROFILES["article"].audio.sample_rate
    figure, axes = plt.subplots(
        4, 2, figsize=(WIDTH, 7), layout="constrained", sharex=True, sharey=True
    )
    for ax, emotion, sound in zip(axes.flat, chosen["emotion"], sounds, strict=True):
        figures.waveform(sound, sample_rate=rate, emotion=emotion, ax=ax)
        ax.label_outer()
    return figure


def _spectra(chosen: pd.DataFrame, sounds: list[np.ndarray], kind: str) -> Figure:
    # The article's reference, each clip's minimum, would hide which clip is louder.
    audio = replace(PROFILES["article"].audio, mel_ref=1.0)
    if kind == "mel":
        values = [mel_spectrogram(sound, config=audio) for sound in sounds]
        top = max(picture.max() for picture in values)
        # Most of speech lies far below its loudest cell.
        drawn = {"limits": (top - 70, top - 10), "unit": "dB"}
    else:
        # Coefficient 0, the level, is far larger than the rest; above 40 there is little to see.
        values = [mfcc(sound, config=audio)[:40] for sound in sounds]
        drawn = {"limits": (-60, 60), "unit": "dB", "rows": "coefficient"}
    figure, axes = plt.subplots(
        4, 2, figsize=(WIDTH, 8.4), layout="constrained", sharex=True, sharey=True
    )
    for ax, emotion, picture in zip(axes.flat, chosen["emotion"], values, strict=True):
        figures.spectrogram(picture, config=audio, title=emotion, ax=ax, **drawn)
        ax.label_outer()
    return figure


# --- from the published results -------------------------------------------------------------------


def draw_results(folder: Path = FIGURES) -> list[Path]:
    """Draw curves, confusion matrices and comparisons of the published runs.

    Curves, confusions and the scores per class and corpus are those of seed 0 at the article's
    settings; the comparison shows every run.

    Parameters
    ----------
    folder : path
        Where the published results lie and the pictures go.

    Returns
    -------
    list of Path
        The pictures written; none of curves and confusions before a run at the article's settings
        is published.
    """
    results = read_results(folder)
    shown = results[(results["profile"] == "article") & (results["seed"] == SHOWN_SEED)]
    names = {
        model: RunName(profile="article", model=model, seed=SHOWN_SEED) for model in shown["model"]
    }
    with _slide_style():
        written = [_save(_comparison(results), "comparison", folder)]
        if not names:
            return written
        tables = {model: read_predictions(name, folder) for model, name in names.items()}
        histories = {model: read_history(name, folder) for model, name in names.items()}
        written.append(_save(_curves(histories), "curves", folder))
        written.append(_save(_per_class(tables), "per_class", folder))
        written.append(_save(_per_corpus(tables), "per_corpus", folder))
        for model, table in tables.items():
            written.append(_save(_confusion(model, table), f"confusion_{model}", folder))
    return written


def _comparison(results: pd.DataFrame) -> Figure:
    figure, ax = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
    figures.published_runs(results, reference=article_figures()["accuracy"], ax=ax)
    return figure


def _curves(histories: dict[str, pd.DataFrame]) -> Figure:
    figure, axes = plt.subplots(
        2,
        len(histories),
        figsize=(WIDTH, 5.4),
        layout="constrained",
        sharey="row",
        squeeze=False,
    )
    for column, (model, history) in zip(axes.T, histories.items(), strict=True):
        for ax, measure in zip(column, ("loss", "accuracy"), strict=True):
            figures.history(history, measure=measure, ax=ax)
            ax.label_outer()
            ax.get_legend().remove()  # one below, where it hides no curve
        column[0].set_title(RECIPES[model].title)
    lines, _ = axes[0, 0].get_legend_handles_labels()
    names = ["training clips", "test clips", "kept epoch"]
    figure.legend(lines, names, loc="outside lower center", ncols=len(names))
    return figure


def _confusion(model: str, table: pd.DataFrame) -> Figure:
    figure, ax = plt.subplots(figsize=(WIDTH * 0.8, 5.8), layout="constrained")
    figures.confusion(
        confusion(table), title=f"{RECIPES[model].title}, {len(table):,} test clips", ax=ax
    )
    return figure


def _per_class(tables: dict[str, pd.DataFrame]) -> Figure:
    figure, ax = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
    figures.class_scores({model: per_class(table) for model, table in tables.items()}, ax=ax)
    return figure


def _per_corpus(tables: dict[str, pd.DataFrame]) -> Figure:
    figure, ax = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
    figures.corpus_scores({model: per_corpus(table) for model, table in tables.items()}, ax=ax)
    return figure
