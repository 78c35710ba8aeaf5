"""Train runs and put them into the repository: results, predictions, history, model (chapter 8)."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sercore import results
from sercore.article import ON_ARTICLE_SPLIT, article_split, replay_recipe
from sercore.collection import checksums
from sercore.collection.check import check_data
from sercore.config import AudioConfig
from sercore.corpora import CORPORA, EMOTIONS
from sercore.course import pictures
from sercore.course.texts import README, VERSIONS, head_card, model_card, parts_of, write_readme
from sercore.evaluation import per_class, per_corpus, score, speaker_interval
from sercore.functionals import VOICE
from sercore.manifest import article_view, build_manifest, without_calm
from sercore.modelfile import TrainedModel, save_model
from sercore.models import Recipe, recipe_named
from sercore.results import (
    BY_CORPUS,
    BY_SPEAKER,
    FIGURES,
    HONEST,
    MODELS,
    PROBABILITIES,
    ResultsError,
    RunName,
    results_file,
)
from sercore.splits import Split, corpus_folds, honest_split, random_split, speaker_folds
from sercore.store.files import sha256, write_whole
from sercore.training import Run, train_recipe
from sercore.workspace import Workspace


@dataclass(frozen=True)
class Protocol:
    """How runs are split and trained, and in which folder their tables are published.

    Rows of the results name the title. Without a folder of models, none is shipped, and the
    pictures stay as they are. A model is trained once for each of the splits; if they have names,
    they are folds, and their test clips stand in one table. With a folder of heads, those that
    learn in one go learn from all clips once more, and are shipped.
    """

    title: str
    splits: Callable[[pd.DataFrame], Mapping[str, Split]]
    figures: Path
    models: Path | None = None
    heads: Path | None = None
    recipe: Callable[[str], Recipe] = recipe_named


def _only(splitter: Callable[[pd.DataFrame], Split]) -> Callable[[pd.DataFrame], dict[str, Split]]:
    return lambda clips: {"": splitter(clips)}


PROTOCOLS = {
    "course": Protocol("random 80:20, epoch chosen on test", _only(random_split), FIGURES, MODELS),
    "article": Protocol(
        "the article's random 80:20, epoch chosen on test", _only(article_split), ON_ARTICLE_SPLIT
    ),
    "replay": Protocol(
        "the article's random 80:20, rates told from its curve, epoch chosen on test",
        _only(article_split),
        ON_ARTICLE_SPLIT / "replay",
        recipe=replay_recipe,
    ),
    "honest": Protocol(
        "random 80:20, nothing chosen on test", lambda c: {"random": honest_split(c)}, HONEST
    ),
    "speaker": Protocol("by speaker, five folds", speaker_folds, BY_SPEAKER, heads=MODELS),
    "corpus": Protocol("by corpus, one left out", corpus_folds, BY_CORPUS),
}
"""The course's own protocol, two that come nearer to the article's runs (appendix A), and three
that choose nothing on the clips that are tested (chapter 9)."""


def publish(
    workspace: Workspace,
    *,
    models: Sequence[str],
    seeds: Sequence[int],
    protocol: Protocol = PROTOCOLS["course"],
    readme: Path = README,
    figures: Path = FIGURES,
    report: Callable[[str], object] = print,
) -> None:
    """Train runs, or take them from the cache; publish each as it ends, and renew the README."""
    parts_of(readme)  # a README without its marks is noticed before hours of training
    everything, root, profile = publishable_clips(workspace), workspace.root, workspace.profile
    clips, train = without_calm(everything), partial(train_recipe, profile=profile, report=report)
    for name in (RunName(profile=profile.name, model=m, seed=s) for s in seeds for m in models):
        recipe, audio = protocol.recipe(name.model), profile.audio
        for fold, split in protocol.splits(clips).items():
            report(f"{name} {fold}".strip())
            own = partial(train, seed=name.seed, splitter=partial(_given, split))
            run = own(recipe, clips, root)
            if fold:
                row = publish_fold(run, name, fold=fold, split=split, protocol=protocol)
            else:
                row = publish_run(run, name, audio=audio, n_clips=len(clips), protocol=protocol)
            report(f"{name}: accuracy {row['accuracy']:.1%}, published ({protocol.title})")
        if protocol.heads and recipe.learn and (name.profile, name.seed) == results.SHOWN:
            everyone, nobody = np.arange(len(clips)), np.arange(0)
            split = Split(train=everyone, valid=nobody, test=everyone)
            run = train(recipe, clips, root, seed=name.seed, splitter=partial(_given, split))
            ship_head(run, name, clips=clips, protocol=protocol)
        write_readme(readme, figures)
        if protocol.models:
            pictures.draw(pictures.result_pictures(figures), figures)
    if protocol.models:
        pictures.draw(pictures.clip_pictures(everything, root), figures)


def _given(split: Split, clips: pd.DataFrame) -> Split:
    return split


def publishable_clips(workspace: Workspace) -> pd.DataFrame:
    """Return the article's view of the four corpora, calm included.

    It is a `ResultsError` unless they are complete, unchanged, in their places and alone, because
    added clips would change the split. So is the profile demo.
    """
    root = workspace.root
    if workspace.profile.name == "demo":
        raise ResultsError("the profile demo is not published; name laptop or article")
    if workspace.synthetic:
        raise ResultsError(f"{root} is synthetic: only results on real speech are published")
    check = check_data(root)
    clips = article_view(build_manifest(root))
    published = sorted(list(row) for name in CORPORA for row in checksums.published(name).values())
    problems = [check.wrong] if check.wrong else []
    if set(check.counts.index) != set(CORPORA):
        problems.append(f"the corpora are {', '.join(check.counts.index)}")
    elif clips[["path", "sha256"]].to_numpy().tolist() != published:
        problems.append("clips were added, or folders have other names")
    if problems:
        raise ResultsError(
            f"results are published for the four corpora, just as they were published, but in "
            f"{root}: {'; '.join(problems)}; `python -m sercore check` tells more"
        )
    return clips


def publish_run(
    run: Run, name: RunName, *, audio: AudioConfig, n_clips: int, protocol: Protocol
) -> dict[str, Any]:
    """Put a finished run among the published ones, in place of one of the same name.

    `n_clips` counts training and test clips. Returns the run's row of the results, from column to
    value. A run on other corpora than the four is a `ResultsError`.
    """
    figures, kinds = protocol.figures, tuple(run.settings["kinds"])
    write_predictions(run.predictions, name, figures)
    write_history(run.history, name, figures)
    # As they are read back, so that every number follows from what is published.
    found = numbers(results.read_predictions(name, figures), results.read_history(name, figures))
    row: dict[str, Any] = {"profile": name.profile, "model": name.model}
    row |= {"features": "+".join(kinds), "protocol": protocol.title, "seed": name.seed}
    row |= {"train": n_clips - found["test"], **found, "parameters": run.facts["parameters"]}
    row |= {package: run.facts["versions"][package] for package in VERSIONS}
    if protocol.models and (name.profile, name.seed) == pictures.SHOWN:
        # The file knows its tables by their hash, so a publication that was cut off is noticed.
        _ship(run, name, audio, results.tables_digest(name, figures), protocol.models)
        write_whole(protocol.models / f"{name.model}.md", model_card(row))
    key, rows = ["profile", "model", "seed"], pd.DataFrame([row])
    if results_file(figures).exists():
        rows = pd.concat([results.read_results(figures), rows], ignore_index=True)
    rows = rows.drop_duplicates(key, keep="last").sort_values(key, ignore_index=True)
    write_results(rows, figures)
    return row


def ship_head(run: Run, name: RunName, *, clips: pd.DataFrame, protocol: Protocol) -> None:
    """Put a head that has learned from all clips among the shipped models, with its card.

    The card says how such heads did in the folds, by corpus, sex and age of the speakers.
    """
    figures, folder = protocol.figures, protocol.heads or MODELS
    _ship(run, name, VOICE, sha256(name.predictions_file(figures)), folder)
    write_whole(folder / f"{name.model}.md", card_of_head(name, clips, figures))


def card_of_head(name: RunName, clips: pd.DataFrame, figures: Path = BY_SPEAKER) -> str:
    """Return the card of a shipped head, from published tables and the speakers of `clips`."""
    tested = results.read_predictions(name, figures)
    tested = tested.merge(
        clips[["path", "sex", "age"]], on="path", how="left", validate="one_to_one"
    )
    shown = map(results.read_shown, (figures, BY_CORPUS))
    row, away = (runs[runs["model"] == name.model] for runs in shown)
    return head_card(row.iloc[0].to_dict(), tested, away)


def _ship(run: Run, name: RunName, audio: AudioConfig, tables: str, folder: Path) -> None:
    kept = ("epochs", "best_epoch", "seconds", "parameters", "versions")
    trained = TrainedModel(
        name=name.model,
        model=run.model(),
        kinds=tuple(run.settings["kinds"]),
        audio=audio,
        standardizers=run.standardizers,
        labels=EMOTIONS,
        settings={key: value for key, value in run.settings.items() if key != "network"},
        facts={k: run.facts[k] for k in kept} | {"profile": name.profile, "tables": tables},
    )
    save_model(trained, folder / f"{name.model}.keras")


def publish_fold(
    run: Run, name: RunName, *, fold: str, split: Split, protocol: Protocol
) -> dict[str, Any]:
    """Put a finished run's test clips into the model's table, in place of those of the same fold.

    The results get a row for the fold and one, whose fold is `all`, for all folds that are there.
    Returns that row.
    """
    figures = protocol.figures
    own = run.predictions.assign(fold=fold)
    own[list(PROBABILITIES)] = own[list(PROBABILITIES)].astype(np.float64).round(6)
    kept = [own]
    if name.predictions_file(figures).exists():
        there = results.read_predictions(name, figures)
        kept.append(there[there["fold"] != fold])
    table = pd.concat(kept).sort_values(["fold", "path"], ignore_index=True)
    _write_packed(table[list(results.FOLD_COLUMNS)], name.predictions_file(figures))
    facts = run.facts
    told = {"profile": name.profile, "model": name.model, "seed": name.seed, "fold": fold}
    told |= {"features": "+".join(run.settings["kinds"]), "protocol": protocol.title}
    told |= {"train": len(split.train), "valid": len(split.valid)} | fold_numbers(own)
    told |= {key: facts[key] for key in ("epochs", "seconds", "parameters")}
    told |= {package: facts["versions"][package] for package in VERSIONS}
    key, rows = ["profile", "model", "seed", "fold"], pd.DataFrame([told])
    if results_file(figures).exists():
        rows = pd.concat([results.read_results(figures), rows], ignore_index=True)
    rows = rows.drop_duplicates(key, keep="last")
    mine = (rows[key[:3]] == pd.Series(told)[key[:3]]).all(axis=1) & (rows["fold"] != results.ALL)
    whole = told | {"fold": results.ALL} | fold_numbers(table)
    whole |= rows[mine][["train", "valid", "epochs", "seconds"]].sum().to_dict()
    rows = pd.concat([rows, pd.DataFrame([whole])]).drop_duplicates(key, keep="last")
    write_results(rows.sort_values(key, ignore_index=True), figures)
    return whole


def fold_numbers(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return every number of a row of results by folds that follows from its predictions."""
    whole, corpora = score(predictions), per_corpus(predictions)["uar"]
    shares = {"accuracy": whole.accuracy, "accuracy_low": whole.low, "accuracy_high": whole.high}
    low, high = speaker_interval(predictions)
    shares |= {"uar": whole.uar, "uar_low": low, "uar_high": high, "macro_f1": whole.macro_f1}
    shares |= {f"recall_{e}": r for e, r in per_class(predictions)["recall"].items()}
    shares |= {f"uar_{corpus}": corpora.get(corpus, np.nan) for corpus in CORPORA}
    shares |= {"uar_mean": corpora.mean()}
    return {"test": whole.n} | {name: round(float(share), 6) for name, share in shares.items()}


def numbers(predictions: pd.DataFrame, history: pd.DataFrame) -> dict[str, Any]:
    """Return every number of a row of the results that follows from a run's published tables."""
    whole = score(predictions)
    f1, corpora = per_class(predictions)["f1"], per_corpus(predictions)["accuracy"]
    shares = {"accuracy": whole.accuracy, "accuracy_low": whole.low, "accuracy_high": whole.high}
    shares |= {"uar": whole.uar, "macro_f1": whole.macro_f1}
    shares |= {f"f1_{emotion}": f1[emotion] for emotion in EMOTIONS}
    shares |= {f"accuracy_{corpus}": corpora[corpus] for corpus in CORPORA}
    best, seconds = int(history["val_loss"].idxmin()), round(float(history["seconds"].sum()))
    told: dict[str, Any] = {"test": whole.n, "epochs": len(history), "best_epoch": best}
    told |= {column: round(float(share), 6) for column, share in shares.items()}
    return told | {"seconds": seconds}


def write_predictions(predictions: pd.DataFrame, name: RunName, folder: Path = FIGURES) -> Path:
    """Write a run's predictions with six decimals, the same bytes for the same numbers.

    It is a `ResultsError` if they could not be read back: if the path of a clip tells another
    corpus, speaker or emotion than the table, or if rounding would change an answer.
    """
    shares, told = list(PROBABILITIES), ["path", "corpus", "speaker", "emotion", "predicted"]
    kept = predictions[["path", "emotion"]].set_axis(["clip", "truth"], axis=1)
    kept[shares] = predictions[shares].astype(np.float64).round(6)
    read = results.with_labels(kept)[told]
    differs = (read != predictions[told].reset_index(drop=True)).any(axis=1)
    if differs.any():
        raise ResultsError(
            f"{name} cannot be published: {differs.sum()} of its clips would be read back with "
            "another corpus, speaker or answer, the first of them "
            f"{read['path'][differs].iloc[0]}; only the four corpora can be published"
        )
    return _write_packed(kept, name.predictions_file(folder))


def _write_packed(table: pd.DataFrame, file: Path) -> Path:
    packed = io.BytesIO()
    # Without a time in the archive, the same predictions are the same file.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as archive:
        archive.write(table.to_csv(index=False, lineterminator="\n").encode())
    return write_whole(file, packed.getvalue())


def write_history(history: pd.DataFrame, name: RunName, folder: Path = FIGURES) -> Path:
    """Write the history of a run's training, numbers with six digits."""
    text = history.to_csv(index_label="epoch", float_format="%.6g", lineterminator="\n")
    return write_whole(name.history_file(folder), text)


def write_results(table: pd.DataFrame, folder: Path = FIGURES) -> Path:
    """Write the table of the published runs."""
    return write_whole(results_file(folder), table.to_csv(index=False, lineterminator="\n"))
