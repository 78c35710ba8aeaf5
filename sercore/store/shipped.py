"""The runs that come with the course: taken instead of training, where they are the very runs."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from sercore.modelfile import ModelFileError, read_model
from sercore.models import graph
from sercore.results import (
    FIGURES,
    MODELS,
    ResultsError,
    RunName,
    read_history,
    read_predictions,
    tables_digest,
)
from sercore.store.files import sha256
from sercore.store.runs import RunFolder


def take_shipped(
    name: str, folder: RunFolder, test: pd.DataFrame, say: Callable[[str], object]
) -> None:
    """Put the run that comes with the course into its folder, if it is this very run.

    Manifest, split and every setting must agree, and the clips that were predicted must be the test
    clips, so it is never scored on clips that it was trained on.
    """
    file = MODELS / f"{name}.keras"
    if not file.exists() or folder.begun:
        return
    with folder.locked():
        kept = folder.read()
        # One that was taken before may have been published anew since.
        if kept is not None and kept.facts.get("shipped") in (None, sha256(file)):
            return
        try:
            shipped = read_model(file)
            asked = {key: value for key, value in folder.settings.items() if key != "network"}
            both = asked.keys() | shipped.settings.keys()
            differing = {key for key in both if asked.get(key) != shipped.settings.get(key)}
            if differing and differing <= {"manifest", "split"}:
                say(
                    f"{name}: the course's own run was trained on other clips, "
                    "so this one is trained"
                )
            if differing or graph(shipped.model) != folder.settings["network"]:
                return
            profile, seed = shipped.facts["profile"], shipped.settings["seed"]
            run = RunName(profile=profile, model=name, seed=seed)
            history, table = read_history(run, FIGURES), read_predictions(run, FIGURES)
            columns = ["path", "emotion"]
            same_clips = table[columns].to_numpy().tolist() == test[columns].to_numpy().tolist()
            if tables_digest(run, FIGURES) != shipped.facts["tables"] or not same_clips:
                raise ResultsError(
                    f"the predictions or the history of {run} in {FIGURES} are not those that "
                    "belong to its model file; `git checkout figures models` brings them back"
                )
        except (ModelFileError, ResultsError) as error:
            say(f"{name}: the course's own run cannot be used and is trained anew: {error}")
            return
        values = [(each.mean_, each.std_) for each in shipped.standardizers]
        facts = shipped.facts | {"standardizers": values, "shipped": sha256(file)}
        folder.finish(shipped.model, facts=facts, history=history, predictions=table)
