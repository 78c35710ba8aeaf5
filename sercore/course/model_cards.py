"""Texts made from the published results: the README's table and the models' cards (chapter 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sercore.article import article_figures
from sercore.corpora import CORPORA, EMOTIONS
from sercore.evaluation import accuracy_interval
from sercore.models import RECIPES

VERSIONS = ("python", "tensorflow", "keras", "librosa", "numpy")
"""What a row of results names the versions of."""


def results_markdown(results: pd.DataFrame) -> str:
    """Return the published accuracies beside the article's, as a table for the README.

    Parameters
    ----------
    results : pandas.DataFrame
        As `published.read_results` returns it.

    Returns
    -------
    str
        A Markdown table, a row per model and profile, seeds in one row.
    """
    article = article_figures()
    lines = [
        "| model | article | ours, its settings (`article`) | ours, profile `laptop` |",
        "|---|---|---|---|",
    ]
    for model, recipe in RECIPES.items():
        own = [
            _accuracies(results[(results["model"] == model) & (results["profile"] == profile)])
            for profile in ("article", "laptop")
        ]
        theirs = article.loc[model]
        low, high = accuracy_interval(round(theirs["accuracy"] * theirs["n"]), int(theirs["n"]))
        lines.append(f"| {recipe.title} | {_share(theirs['accuracy'], low, high)} | {' | '.join(own)} |")
    return "\n".join(lines)


def _accuracies(rows: pd.DataFrame) -> str:
    """Return one run's accuracy with its interval, or several seeds' mean and range."""
    if rows.empty:
        return "not yet run"
    if len(rows) == 1:
        row = rows.iloc[0]
        return _share(row["accuracy"], row["accuracy_low"], row["accuracy_high"]) + ", one seed"
    accuracy = 100 * rows["accuracy"]
    return (
        f"{accuracy.mean():.1f} %, {len(rows)} seeds from {accuracy.min():.1f} "
        f"to {accuracy.max():.1f}"
    )


def _share(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def model_card(row: Mapping[str, Any]) -> str:
    """Return the card of a published model, its figures taken from its row of results.

    Parameters
    ----------
    row : mapping
        The model's row of results.

    Returns
    -------
    str
        Markdown.
    """
    article = article_figures().loc[row["model"]]
    scores = "\n".join(
        f"| {label} | {100 * row[f'accuracy_{corpus}']:.1f} % |"
        for corpus, label in ((name, corpus.title) for name, corpus in CORPORA.items())
    )
    f1 = "\n".join(f"| {emotion} | {row[f'f1_{emotion}']:.2f} |" for emotion in EMOTIONS)
    return _CARD.format(
        title=RECIPES[row["model"]].title,
        reads="mel spectrograms" if row["features"] == "mel" else "MFCCs",
        accuracy=_share(row["accuracy"], row["accuracy_low"], row["accuracy_high"]),
        article=f"{100 * article['accuracy']:.1f} %",
        corpora=scores,
        f1=f1,
        uar=f"{100 * row['uar']:.1f} %",
        macro=f"{row['macro_f1']:.2f}",
        **{key: row[key] for key in ("model", "train", "test", "seed", "epochs", "best_epoch")},
        **{key: row[key] for key in ("parameters", *VERSIONS)},
    )


_CARD = """# {title}

The article's {title}, trained by this course on all four corpora with the article's settings.
`models/{model}.keras` holds architecture, weights, audio settings, standardiser and labels:

```python
from sercore.inference import load_pretrained, predict_files

model = load_pretrained("{model}")
print(predict_files(model, ["my_recording.wav"]).T)
```

## What it is

A network of {parameters:,} parameters that reads the {reads} of the first four seconds of a
clip (44.1 kHz, 128 × 345) and gives a probability for each of anger, disgust, fear, happiness,
neutral, sadness and surprise. Trained with Keras {keras} on TensorFlow {tensorflow}, features
by librosa {librosa}, Python {python}, NumPy {numpy}.

## Data and protocol

{train:,} clips of CREMA-D, RAVDESS, TESS and SAVEE in training, {test:,} in the test: a random
80:20 split (`random_state=0`) of 11,970 clips, RAVDESS's calm left out, as in the article.
**The test clips also chose the epoch** ({best_epoch} of {epochs}) and the learning rate, and
every test clip's speaker is in the training set too. Both make the figures below better than
what to expect of a new voice. Seed {seed}, fixed before training.

## Figures

Accuracy on the test clips {accuracy}; the article's confusion matrix gives {article}.
Mean recall of the seven emotions (UAR) {uar}, mean F1 (macro F1) {macro}. The interval is
a 95 % Wilson interval: it covers the draw of the clips, not another seed and not other speakers.

| corpus | accuracy |
|---|---|
{corpora}

| emotion | F1 |
|---|---|
{f1}

## Licence of the weights

They were learned from the corpora, and what those allow bounds them: **no commercial use**
(RAVDESS: CC BY-NC-SA 4.0, TESS: CC BY-NC-ND 4.0), **research only, and registration before use
of the corpus** (SAVEE); CREMA-D is under ODbL 1.0. Whether weights are an adaptation of the
recordings they were learned from, which TESS's terms would not let anyone pass on, is not settled;
the file holds numbers and no recording. Cite the four corpora (chapter 1). The code is under
BSD-3-Clause.

## What it must not be used for

- Judging people: hiring, policing, schooling, health, credit, or any decision about a person.
  In the European Union, inferring emotions at work and in education is prohibited (AI Act,
  article 5).
- Any voice that it was not tested on as if the figures above held there. They are about acted
  speech, in English, recorded for research, by voices that it had heard in training.
- Telling what somebody feels. It names the emotion that a speaker was asked to act.
"""
