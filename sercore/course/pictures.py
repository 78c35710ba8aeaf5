"""Pictures for slides and the README, written to `figures/` (chapters 3, 4 and 8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sercore import article, evaluation, features, figures, results
from sercore.config import PROFILES
from sercore.corpora import CORPORA, LABELS
from sercore.models import RECIPES
from sercore.store.files import write_whole

WIDTH, DPI = 9.0, 120  # inches, dots per inch: 1,080 dots, so text is readable at half a page
SHOWN = "article", 0
"""Profile and seed of the runs whose curves are drawn and whose weights come with the course; fixed
before any was trained."""


def draw(pictures: Iterable[tuple[str, Figure]], folder: Path = results.FIGURES) -> list[Path]:
    """Write each picture as a PNG file, in the course's style with letters large enough to show."""
    written: list[Path] = []
    with plt.rc_context():
        sns.set_theme(style="darkgrid", palette="magma", context="notebook", font_scale=1.05)
        for name, figure in pictures:
            # Matplotlib would write its version into the file, and change it with every update.
            save = partial(figure.savefig, dpi=DPI, metadata={"Software": None})
            written.append(write_whole(folder / f"{name}.png", save))
            plt.close(figure)
    return written


def examples(clips: pd.DataFrame) -> pd.DataFrame:
    """Choose one clip of each label, in the order of `LABELS`, from a manifest with RAVDESS.

    All are by speaker 1, say the first sentence, and are the first take of normal intensity. If a
    label has no such clip, that is a `ResultsError`.
    """
    told = {"speaker": "ravdess_01", "sentence": "01", "intensity": "normal"}
    chosen = clips[(clips[list(told)] == pd.Series(told)).all(axis=1)].drop_duplicates("emotion")
    missing = [label for label in LABELS if label not in set(chosen["emotion"])]
    if missing:
        raise results.ResultsError(
            f"RAVDESS's first speaker has no clip of {', '.join(missing)}; "
            "is RAVDESS complete? `python -m sercore check` tells"
        )
    return chosen.set_index("emotion").loc[list(LABELS)].reset_index()


def clip_pictures(clips: pd.DataFrame, root: Path) -> Iterator[tuple[str, Figure]]:
    """Yield class counts, and waveform, mel spectrogram and MFCCs of one clip per emotion.

    `clips` is the article's view of the manifest, with calm; its paths are relative to `root`.
    """
    # The article's reference, each clip's minimum, would hide which clip is louder.
    audio = replace(PROFILES["article"].audio, mel_ref=1.0)
    chosen = examples(clips)
    figure, axes = _grid(2, 2, 6.2)
    for ax, corpus in zip(axes.flat, CORPORA.values(), strict=True):
        own = clips[clips["corpus"] == corpus.name]
        figures.counts(own, ax=ax).set_title(f"{corpus.title}: {len(own):,} clips")
    yield "class_counts", figure
    sounds = [features.load_clip(root / path, config=audio) for path in chosen["path"]]
    figure, axes = _grid(4, 2, 7, sharex=True, sharey=True)
    for ax, emotion, sound in zip(axes.flat, chosen["emotion"], sounds, strict=True):
        figures.waveform(sound, sample_rate=audio.sample_rate, emotion=emotion, ax=ax).label_outer()
    yield "waveforms", figure
    mels = [features.mel_spectrogram(sound, config=audio) for sound in sounds]
    top = max(mel.max() for mel in mels)  # most of speech lies far below its loudest cell
    # Coefficient 0, the level, is far larger than the rest; above 40 there is little to see.
    mfccs = [features.mfcc(sound, config=audio)[:40] for sound in sounds]
    for name, values, rows, limits in (
        ("mel_spectrograms", mels, "mel", (top - 70, top - 10)),
        ("mfcc", mfccs, "coefficient", (-60, 60)),
    ):
        figure, axes = _grid(4, 2, 8.4, sharex=True, sharey=True)
        for ax, emotion, value in zip(axes.flat, chosen["emotion"], values, strict=True):
            options = {"rows": rows, "limits": limits, "title": emotion}
            figures.spectrogram(value, config=audio, ax=ax, **options).label_outer()
        yield name, figure


def result_pictures(folder: Path = results.FIGURES) -> Iterator[tuple[str, Figure]]:
    """Yield every picture that the published tables in a folder give.

    The comparison shows every run. Curves, scores per class and per corpus, and confusions are
    those of the runs at the article's settings with seed 0; before there is one, there are none.
    """
    runs = results.read_results(folder)
    figure, ax = _grid(1, 1, 4.2)
    figures.published_runs(runs, reference=article.article_figures()["accuracy"], ax=ax)
    yield "comparison", figure
    profile, seed = SHOWN
    shown = set(runs[(runs["profile"] == profile) & (runs["seed"] == seed)]["model"])
    names = [results.RunName(profile=profile, model=m, seed=seed) for m in RECIPES if m in shown]
    if not names:
        return
    figure, axes = _grid(2, len(names), 5.4, sharey="row", squeeze=False)
    for column, name in zip(axes.T, names, strict=True):
        for ax, measure in zip(column, ("loss", "accuracy"), strict=True):
            history = results.read_history(name, folder)
            figures.history(history, measure=measure, ax=ax).label_outer()
            ax.get_legend().remove()  # one below, where it hides no curve
        column[0].set_title(RECIPES[name.model].title)
    lines, (train, valid, _) = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, [train, valid, "kept epoch"], loc="outside lower center", ncols=3)
    yield "curves", figure
    tables = {name.model: results.read_predictions(name, folder) for name in names}
    figure, ax = _grid(1, 1, 4.2)
    figures.class_scores({m: evaluation.per_class(table) for m, table in tables.items()}, ax=ax)
    yield "per_class", figure
    figure, ax = _grid(1, 1, 4.2)
    figures.corpus_scores({m: evaluation.per_corpus(table) for m, table in tables.items()}, ax=ax)
    yield "per_corpus", figure
    for model, table in tables.items():
        figure, ax = _grid(1, 1, 5.8)
        figure.set_figwidth(WIDTH * 0.8)
        title = f"{RECIPES[model].title}, {len(table):,} test clips"
        figures.confusion(evaluation.confusion(table), title=title, ax=ax)
        yield f"confusion_{model}", figure


def _grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    return plt.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", **options)
