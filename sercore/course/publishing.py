"""Publish runs: a row of results, predictions, history, and the model with its card (chapter 8)."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sercore.article import ON_ARTICLE_SPLIT, article_rates, article_split
from sercore.collection.check import check_data
from sercore.collection.checksums import published as published_clips
from sercore.config import REPOSITORY, AudioConfig
from sercore.corpora import CORPORA, EMOTIONS, parse
from sercore.course.model_cards import VERSIONS, model_card, results_markdown
from sercore.course.pictures import draw_clips, draw_results
from sercore.evaluation import per_class, per_corpus, score
from sercore.manifest import article_view, build_manifest, without_calm
from sercore.modelfile import TrainedModel, save_model
from sercore.results import (
    FIGURES,
    MODELS,
    PROBABILITIES,
    ResultsError,
    RunName,
    read_history,
    read_predictions,
    read_results,
    results_file,
    tables_digest,
    with_labels,
)
from sercore.splits import Split, random_split
from sercore.store.files import write_whole
from sercore.training import Run, train_recipe
from sercore.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How runs are split, and where they are published.

    Attributes
    ----------
    title : str
        What its rows say in the column `protocol`.
    splitter : callable
        Splits the clips.
    figures : Path
        Where results, predictions and histories go.
    models : Path or None
        Where the models to ship go; None if none is, and the course's table and pictures show
        none of these runs.
    rates : callable or None
        Gives the learning rates of a model's epochs; None where they follow the test loss.
    """

    title: str
    splitter: Callable[[pd.DataFrame], Split]
    figures: Path
    models: Path | None = None
    rates: Callable[[str], list[float]] | None = None


PROTOCOLS = {
    "course": Protocol(
        title="random 80:20, epoch chosen on test",
        splitter=random_split,
        figures=FIGURES,
        models=MODELS,
    ),
    "article": Protocol(
        title="the article's random 80:20, epoch chosen on test",
        splitter=article_split,
        figures=ON_ARTICLE_SPLIT,
    ),
    "replay": Protocol(
        title="the article's random 80:20, rates told from its curve, epoch chosen on test",
        splitter=article_split,
        rates=article_rates,
        figures=ON_ARTICLE_SPLIT / "replay",
    ),
}
"""The course's own protocol, and what comes ever nearer to the article's runs (chapter 8)."""

README = REPOSITORY / "README.md"

SHIPPED_PROFILE, SHIPPED_SEED = "article", 0
"""The run of each model whose weights come with the course; fixed before any was trained."""

_KEPT_FACTS = ("epochs", "best_epoch", "seconds", "parameters", "versions")


def numbers(predictions: pd.DataFrame, history: pd.DataFrame) -> dict[str, float | int]:
    """Return every figure of a run that follows from its published tables.

    Parameters
    ----------
    predictions, history : pandas.DataFrame
        As `published.read_predictions` and `published.read_history` return them.

    Returns
    -------
    dict
        `test` (clips), `epochs`, `best_epoch`, `accuracy` with its 95 % Wilson interval
        (`accuracy_low`, `accuracy_high`), `uar`, `macro_f1`, `f1_<emotion>`, `accuracy_<corpus>`,
        `seconds` of training. Shares lie between 0 and 1 and have six decimals.
    """
    whole = score(predictions)
    f1, corpora = per_class(predictions)["f1"], per_corpus(predictions)["accuracy"]
    shares = {
        "accuracy": whole.accuracy,
        "accuracy_low": whole.low,
        "accuracy_high": whole.high,
        "uar": whole.uar,
        "macro_f1": whole.macro_f1,
        **{f"f1_{emotion}": f1[emotion] for emotion in EMOTIONS},
        **{f"accuracy_{corpus}": corpora[corpus] for corpus in CORPORA},
    }
    return {
        "test": whole.n,
        "epochs": len(history),
        "best_epoch": int(history["val_loss"].idxmin()),
        **{name: round(float(share), 6) for name, share in shares.items()},
        "seconds": round(float(history["seconds"].sum())),
    }


def result_row(
    name: RunName,
    *,
    protocol: Protocol,
    features: str,
    predictions: pd.DataFrame,
    history: pd.DataFrame,
    n_clips: int,
    parameters: int,
    versions: dict[str, str],
) -> dict[str, Any]:
    """Return a run's row in `results.csv`.

    Parameters
    ----------
    name : RunName
    protocol : Protocol
    features : str
        What the model reads: "mel" or "mfcc".
    predictions, history : pandas.DataFrame
        As published.
    n_clips : int
        Clips in training and test together.
    parameters : int
        Of the model.
    versions : dict
        A version for each of `VERSIONS`.

    Returns
    -------
    dict
        From column to value, in the columns' order.
    """
    found = numbers(predictions, history)
    seconds = found.pop("seconds")
    return {
        "profile": name.profile,
        "model": name.model,
        "features": features,
        "protocol": protocol.title,
        "seed": name.seed,
        "train": n_clips - found["test"],
        **found,
        "seconds": seconds,
        "parameters": parameters,
        **{package: versions[package] for package in VERSIONS},
    }


def publish_run(
    run: Run,
    name: RunName,
    *,
    audio: AudioConfig,
    n_clips: int,
    protocol: Protocol,
) -> dict[str, Any]:
    """Put a finished run among the published ones, in place of one of the same name.

    Parameters
    ----------
    run : Run
    name : RunName
    audio : AudioConfig
        How its features were made.
    n_clips : int
        Clips in training and test together.
    protocol : Protocol

    Returns
    -------
    dict
        Its row in the results.

    Raises
    ------
    ResultsError
        If its predictions cannot be published.
    """
    figures, models = protocol.figures, protocol.models
    write_predictions(run.predictions, name, figures)
    write_history(run.history, name, figures)
    row = result_row(
        name,
        protocol=protocol,
        features=run.settings["kind"],
        # As they are read back, so that every figure follows from what is published.
        predictions=read_predictions(name, figures),
        history=read_history(name, figures),
        n_clips=n_clips,
        parameters=run.facts["parameters"],
        versions=run.facts["versions"],
    )
    if models and (name.profile, name.seed) == (SHIPPED_PROFILE, SHIPPED_SEED):
        # The file knows its tables by their hash: a publication cut off here is noticed.
        tables = tables_digest(name, figures)
        save_model(_trained(run, name, audio, tables), models / f"{name.model}.keras")
        (models / f"{name.model}.md").write_text(model_card(row), encoding="utf-8", newline="\n")
    write_results(_with_row(row, figures), figures)
    return row


def _trained(run: Run, name: RunName, audio: AudioConfig, tables: str) -> TrainedModel:
    return TrainedModel(
        name=name.model,
        model=run.model(),
        kind=run.settings["kind"],
        audio=audio,
        mean=run.facts["mean"],
        std=run.facts["std"],
        labels=EMOTIONS,
        settings={key: value for key, value in run.settings.items() if key != "model"},
        facts={key: run.facts[key] for key in _KEPT_FACTS}
        | {"profile": name.profile, "tables": tables},
    )


def publish(
    workspace: Workspace,
    *,
    models: Sequence[str],
    seeds: Sequence[int],
    protocol: Protocol = PROTOCOLS["course"],
    report: Callable[[str], None] = print,
) -> None:
    """Train runs, or take them from the cache, and publish each as it ends.

    Parameters
    ----------
    workspace : Workspace
        All four corpora, whole, and the profile.
    models : sequence of str
        Some of `published.MODEL_NAMES`.
    seeds : sequence of int
    protocol : Protocol
        One of `PROTOCOLS`.
    report : callable
        Called with lines of progress.

    Raises
    ------
    ResultsError
        If the profile is demo, or the data is not the four corpora, complete and unchanged.
    """
    check_publishable(workspace)
    _parts_of_readme(README)
    everything = article_view(build_manifest(workspace.root))
    clips = without_calm(everything)
    if clips[["path", "sha256"]].to_numpy().tolist() != _published_clips():
        raise ResultsError(
            f"the clips in {workspace.root} are not just those that were published, each in its "
            "place: files were added, or folders have other names, and the split would be another; "
            "`python -m sercore collect` lays them out"
        )
    profile, shown = workspace.profile, protocol.models is not None
    for seed in seeds:
        for model in models:
            name = RunName(profile=profile.name, model=model, seed=seed)
            report(f"{name}")
            run = train_recipe(
                model,
                clips,
                workspace.root,
                profile=profile,
                seed=seed,
                splitter=protocol.splitter,
                learning_rates=protocol.rates and protocol.rates(model),
                report=report,
            )
            row = publish_run(run, name, audio=profile.audio, n_clips=len(clips), protocol=protocol)
            if shown:
                draw_results()
                write_readme_table()
            report(f"{name}: accuracy {row['accuracy']:.1%}, published ({protocol.title})")
    if shown:
        draw_clips(everything, workspace.root)


def check_publishable(workspace: Workspace) -> None:
    """Raise `ResultsError` unless the data is the four corpora, whole and unchanged."""
    if workspace.profile.name == "demo":
        raise ResultsError("the profile demo is not published; name laptop or article")
    if workspace.synthetic:
        raise ResultsError(
            f"{workspace.root} is synthetic: only results on real speech are published"
        )
    check = check_data(workspace.root)
    foreign = sorted(set(check.counts.index) - set(CORPORA))
    absent = sorted(set(CORPORA) - set(check.counts.index))
    problems = [check.wrong] if check.wrong else []
    problems += [f"{', '.join(absent)} not there"] if absent else []
    problems += [f"{', '.join(foreign)} beside the four corpora"] if foreign else []
    if problems:
        raise ResultsError(
            f"results are published for the four corpora as they were published, but in "
            f"{workspace.root}: {'; '.join(problems)}; `python -m sercore check` tells more"
        )


def _published_clips() -> list[list[str]]:
    """Return path and SHA-256 of every published clip but calm's, in the manifest's order."""
    rows = [row for name in CORPORA for row in published_clips(name).values()]
    return sorted([path, digest] for path, digest in rows if parse(path).emotion in EMOTIONS)


def write_readme_table(readme: Path = README) -> None:
    """Bring the table of results in the README up to date with the published ones.

    Parameters
    ----------
    readme : path
        A file with the lines `<!-- results -->` and `<!-- end of results -->`.

    Raises
    ------
    ResultsError
        If it lacks one of them.
    """
    before, after = _parts_of_readme(readme)
    text = f"{before}\n{results_markdown(read_results())}\n{after}"
    readme.write_text(text, encoding="utf-8", newline="\n")


def _parts_of_readme(readme: Path) -> tuple[str, str]:
    """Return what stands before and after the table, the marks included."""
    start, end = "<!-- results -->", "<!-- end of results -->"
    text = readme.read_text(encoding="utf-8")
    if start not in text or end not in text:
        raise ResultsError(
            f"{readme.name} lacks the lines {start} and {end}, between which the table stands; "
            "put them back"
        )
    return text[: text.index(start) + len(start)], text[text.index(end) :]


def _with_row(row: dict[str, Any], figures: Path) -> pd.DataFrame:
    """Return the published results with a row added, or replaced where the run was there."""
    key = ["profile", "model", "seed"]
    rows = pd.DataFrame([row])
    if results_file(figures).exists():
        rows = pd.concat([read_results(figures), rows], ignore_index=True)
    return rows.drop_duplicates(key, keep="last").sort_values(key, ignore_index=True)


_DECIMALS = 6  # of a probability


def write_predictions(predictions: pd.DataFrame, name: RunName, folder: Path = FIGURES) -> Path:
    """Write predictions compactly, the same bytes for the same numbers.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `training.Run.predictions`.
    name : RunName
    folder : path

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ResultsError
        If the path of a clip tells another corpus, speaker or emotion than the table, or rounding
        would change an answer: either could not be read back.
    """
    columns = list(PROBABILITIES)
    stored = predictions[["path", "emotion", *columns]].rename(
        columns={"path": "clip", "emotion": "truth"}
    )
    stored[columns] = stored[columns].astype(np.float64).round(_DECIMALS)
    told = ["path", "corpus", "speaker", "emotion", "predicted"]
    differs = (with_labels(stored)[told] != predictions[told].reset_index(drop=True)).any(axis=1)
    if differs.any():
        raise ResultsError(
            f"{name} cannot be published: {differs.sum()} of its clips would be read back with "
            "another corpus, speaker or answer, the first of them "
            f"{stored['clip'][differs.to_numpy()].iloc[0]}; only the four corpora can be published"
        )
    packed = io.BytesIO()
    # Without a time of its own in the archive, the same predictions are the same file.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as archive:
        archive.write(stored.to_csv(index=False, lineterminator="\n").encode())
    return write_whole(name.predictions_file(folder), packed.getvalue())


def write_history(history: pd.DataFrame, name: RunName, folder: Path = FIGURES) -> Path:
    """Write the history of a training.

    Parameters
    ----------
    history : pandas.DataFrame
        As `training.Run.history`.
    name : RunName
    folder : path

    Returns
    -------
    Path
        The file written.
    """
    text = history.to_csv(index_label="epoch", float_format="%.6g", lineterminator="\n")
    return write_whole(name.history_file(folder), text.encode())


def write_results(results: pd.DataFrame, folder: Path = FIGURES) -> Path:
    """Write the table of the published runs.

    Parameters
    ----------
    results : pandas.DataFrame
        As `read_results` returns it.
    folder : path

    Returns
    -------
    Path
        The file written.
    """
    return write_whole(results_file(folder), results.to_csv(index=False, lineterminator="\n").encode())
