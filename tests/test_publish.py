"""What is published agrees with itself: every figure is computed again from the predictions."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from sercore.collection.checksums import published as published_clips
from sercore.config import PROFILES, REPOSITORY
from sercore.corpora import CORPORA, EMOTIONS, parse
from sercore.course import model_cards as cards
from sercore.course import pictures as slides
from sercore.course import publishing as publish
from sercore.evaluation import article_confusion, article_figures, confusion
from sercore.models import RECIPES
from sercore.results import (
    FIGURES,
    MODEL_NAMES,
    MODELS,
    ON_ARTICLE_SPLIT,
    PROBABILITIES,
    PublishedError,
    RunName,
    read_article_crnn,
    read_article_curves,
    read_history,
    read_predictions,
    read_results,
    results_file,
    write_history,
    write_predictions,
    write_results,
)
from sercore.splits import article_split, random_split
from sercore.training import Run, plateau_rates
from sercore.workspace import Workspace

RUNS = [
    (protocol, row)
    for protocol in publish.PROTOCOLS.values()
    if results_file(protocol.figures).exists()
    for row in read_results(protocol.figures).to_dict("records")
]
ROWS = [row for protocol, row in RUNS if protocol is publish.PROTOCOLS["course"]]


def name_of(row) -> RunName:
    return RunName(profile=row["profile"], model=row["model"], seed=row["seed"])


def each_run(test):
    """Run a test for every published run, whatever its split."""
    ids = [f"{protocol.figures.name}-{name_of(row)}" for protocol, row in RUNS]
    return pytest.mark.parametrize(("protocol", "row"), RUNS, ids=ids)(test)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval written out, z = 1.96."""
    z = 1.959963984540054
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def article_clips() -> pd.DataFrame:
    """The 11,970 published clips that are not calm, in the manifest's order."""
    paths = sorted(path for name in CORPORA for path, _ in published_clips(name).values())
    table = pd.DataFrame({"path": paths, "emotion": [parse(path).emotion for path in paths]})
    table["corpus"] = table["path"].str.split("/").str[0]
    return table[table["emotion"] != "calm"].reset_index(drop=True)


# --- what is in the repository --------------------------------------------------------------------


@each_run
def test_every_figure_of_a_run_follows_from_its_predictions(protocol, row):
    table = read_predictions(name_of(row), protocol.figures)
    history = read_history(name_of(row), protocol.figures)
    truth, answers = table["emotion"], table["predicted"]
    accuracy = metrics.accuracy_score(truth, answers)
    low, high = wilson(accuracy, len(table))
    f1 = metrics.f1_score(truth, answers, labels=EMOTIONS, average=None)
    expected = {
        "test": len(table),
        "epochs": len(history),
        "best_epoch": history["val_loss"].idxmin(),
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "uar": metrics.balanced_accuracy_score(truth, answers),
        "macro_f1": f1.mean(),
        **{f"f1_{emotion}": value for emotion, value in zip(EMOTIONS, f1, strict=True)},
    }
    for corpus, group in table.groupby("corpus"):
        expected[f"accuracy_{corpus}"] = (group["emotion"] == group["predicted"]).mean()
    found = {key: row[key] for key in expected}
    assert found == pytest.approx(expected, abs=6e-7)
    assert row["seconds"] == pytest.approx(history["seconds"].sum(), abs=0.51)


@each_run
def test_a_run_was_tested_on_the_test_clips_of_its_split(protocol, row):
    clips = article_clips()
    test = clips.iloc[protocol.splitter(clips).test].reset_index(drop=True)
    table = read_predictions(name_of(row), protocol.figures)
    pd.testing.assert_frame_equal(table[list(test)], test, check_dtype=False)
    assert (row["train"], row["test"]) == (len(clips) - len(test), len(test)) == (9576, 2394)


@each_run
def test_a_run_is_of_the_model_that_it_names(protocol, row):
    recipe, audio = RECIPES[row["model"]], PROFILES[row["profile"]].audio
    model = recipe.build((audio.n_mels, audio.n_frames, 1), len(EMOTIONS))
    assert row["parameters"] == model.count_params()
    assert row["features"] == recipe.kind and row["protocol"] == protocol.title


@each_run
def test_a_runs_learning_rates_are_those_of_its_protocol(protocol, row):
    """They follow its own test loss, or are the article's."""
    history = read_history(name_of(row), protocol.figures)
    if protocol.rates:
        expected = protocol.rates(row["model"])
        expected += expected[-1:] * (len(history) - len(expected))
        expected = expected[: len(history)]
    else:
        expected = plateau_rates(history["val_loss"], PROFILES[row["profile"]].training)
    assert history["learning_rate"].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("split", publish.PROTOCOLS)
def test_no_run_is_published_but_for_its_row(split):
    protocol = publish.PROTOCOLS[split]
    names = sorted(str(name_of(row)) for other, row in RUNS if other is protocol)
    for kind, ending in (("predictions", ".csv.gz"), ("history", ".csv")):
        files = (protocol.figures / kind).glob("*")
        assert sorted(file.name.removesuffix(ending) for file in files) == names


def test_the_articles_split_has_the_test_clips_of_its_confusion_matrices():
    clips, expected = article_clips(), article_confusion("cnn_mel").sum(axis=1)
    for order in (clips, clips.sample(frac=1, random_state=1)):  # as they come, and mixed
        test = order.iloc[article_split(order).test]
        assert test["emotion"].value_counts().reindex(EMOTIONS).tolist() == expected.tolist()
    # Not just any order does: the manifest's does not.
    counts = clips.iloc[random_split(clips).test]["emotion"].value_counts().reindex(EMOTIONS)
    assert (counts != expected).any()


def test_the_authors_crnn_gives_the_articles_confusion_matrix_on_the_articles_split():
    answers, clips = read_article_crnn(), article_clips()
    test = clips.iloc[article_split(clips).test]
    told = answers.set_index("path")["emotion"]
    assert told.to_dict() == test.set_index("path")["emotion"].to_dict()
    pd.testing.assert_frame_equal(confusion(answers), article_confusion("crnn_mfcc"))


@pytest.mark.parametrize(
    ("model", "epochs"), [("cnn_mel", 40), ("cnn_mfcc", 31), ("crnn_mfcc", 23)]
)
def test_the_articles_curves_end_ten_epochs_after_the_accuracy_it_reports(model, epochs):
    curves = read_article_curves(model)
    assert curves.index.tolist() == list(range(1, epochs + 1))
    accuracy = article_figures().loc[model, "accuracy"]
    assert curves["val_accuracy"].loc[epochs - 10] == pytest.approx(accuracy, abs=0.001)
    # Which is the epoch of the least test loss, within two of the picture's pixels.
    assert curves["val_loss"].loc[epochs - 10] <= curves["val_loss"].min() + 0.011


def test_the_rates_that_the_articles_curve_of_the_crnn_tells():
    """Five cuts; its author's file of the CRNN says as well that the last rate was 1e-6."""
    cuts = [1e-3] * 8 + [2e-4] * 4 + [4e-5] * 4 + [8e-6] * 3 + [1.6e-6] * 3 + [1e-6]
    assert publish.article_rates("crnn_mfcc") == pytest.approx(cuts, rel=1e-5)


def test_a_model_is_shipped_for_each_run_that_is_to_be():
    key = (publish.SHIPPED_PROFILE, publish.SHIPPED_SEED)
    rows = [row for row in ROWS if (row["profile"], row["seed"]) == key]
    assert sorted(file.stem for file in MODELS.glob("*.keras")) == sorted(r["model"] for r in rows)
    for row in rows:
        card = (MODELS / f"{row['model']}.md").read_text(encoding="utf-8")
        assert card == cards.model_card(row)
        assert (MODELS / f"{row['model']}.keras").stat().st_size <= 2_000_000


def test_the_readme_shows_the_published_results():
    if ROWS:
        readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
        assert cards.results_markdown(read_results()) in readme


@pytest.mark.parametrize("model", ["cnn_mfcc", "crnn_mfcc"])
def test_the_readme_quotes_the_trials_with_the_articles_rates(model):
    row = read_results(ON_ARTICLE_SPLIT / "replay").query("model == @model and seed == 0").iloc[0]
    share = "{:.1f} % ({:.1f} to {:.1f}".format(
        *(100 * row[["accuracy", "accuracy_low", "accuracy_high"]])
    )
    assert share in " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())


def test_the_readme_quotes_the_seeds_on_the_articles_split():
    found = 100 * read_results(ON_ARTICLE_SPLIT).query("model == 'crnn_mfcc'")["accuracy"]
    share = f"{found.mean():.1f} % in the mean there ({found.min():.1f} to {found.max():.1f})"
    assert len(found) == 3
    assert share in " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())


def test_the_readme_quotes_the_svm_of_chapter_8():
    stored = (REPOSITORY / "notebooks" / "08_evaluation.ipynb").read_text(encoding="utf-8")
    found = re.search(
        r"SVM on 2 statistics of each MFCC: accuracy ([\d.]+)% "
        r"\(95 % interval ([\d.]+)% to ([\d.]+)%",
        stored,
    )
    share = "{} % ({} to {})".format(*found.groups())
    assert share in " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())


def test_the_pictures_in_the_readme_are_there():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for part in readme.split("](figures/")[1:]:
        assert (FIGURES / part.split(")")[0]).is_file()


def test_the_repository_holds_no_clip():
    assert not [file for file in FIGURES.rglob("*") if file.suffix.lower() == ".wav"]


# --- how it gets there ----------------------------------------------------------------------------


def predictions(right: int) -> pd.DataFrame:
    """All seven emotions of one SAVEE speaker and some of the other corpora; `right` are right."""
    paths = [f"savee/ALL/DC_{code}01.wav" for code in ("a", "d", "f", "h", "n", "sa", "su")]
    paths += ["cremad/AudioWAV/1001_DFA_ANG_XX.wav", "tess/OAF_angry/OAF_back_angry.wav"]
    paths += ["ravdess/Actor_24/03-01-08-02-01-01-24.wav"]
    labels = [parse(path) for path in paths]
    truth = np.array([EMOTIONS.index(label.emotion) for label in labels])
    answer = np.where(np.arange(len(paths)) < right, truth, (truth + 1) % 7)
    table = pd.DataFrame(
        {
            "path": paths,
            "corpus": [label.corpus for label in labels],
            "speaker": [label.speaker for label in labels],
            "emotion": np.array(EMOTIONS)[truth],
            "predicted": np.array(EMOTIONS)[answer],
        }
    )
    shares = np.full((len(paths), 7), 0.1)
    shares[np.arange(len(paths)), answer] = 0.4
    return table.join(pd.DataFrame(shares, columns=list(PROBABILITIES)))


def history(epochs: int = 3) -> pd.DataFrame:
    losses = [1.5, 1.0, 1.2][:epochs]
    columns = {"loss": losses, "accuracy": 0.5, "val_loss": losses, "val_accuracy": 0.5}
    table = pd.DataFrame({**columns, "learning_rate": 1e-3, "seconds": 10.4})
    return table.set_axis(range(1, epochs + 1)).rename_axis("epoch")


def row_of(name: RunName, right: int = 7) -> dict:
    return publish.result_row(
        name,
        protocol=publish.PROTOCOLS["course"],
        features="mfcc",
        predictions=predictions(right),
        history=history(),
        n_clips=50,
        parameters=391_559,
        versions=dict.fromkeys(cards.VERSIONS, "1.0"),
    )


def publish_made_up(folder, models=MODEL_NAMES, profiles=("article", "laptop"), seeds=(0, 1)):
    """Publish made-up runs into a folder, as `publish` would."""
    rows = []
    for profile in profiles:
        for i, model in enumerate(models):
            for seed in seeds:
                name = RunName(profile=profile, model=model, seed=seed)
                write_predictions(predictions(6 + i), name, folder)
                write_history(history(), name, folder)
                rows.append(row_of(name, 6 + i))
    write_results(pd.DataFrame(rows), folder)
    return pd.DataFrame(rows)


def test_a_row_of_known_predictions():
    row = row_of(RunName(profile="article", model="cnn_mfcc", seed=0))
    assert (row["train"], row["test"], row["epochs"], row["best_epoch"]) == (40, 10, 3, 2)
    assert row["accuracy"] == 0.7 and row["seconds"] == 31
    assert row["accuracy_savee"] == 1 and row["accuracy_tess"] == 0
    # One of three clips of anger is found and two are called so; disgust: one, found, three.
    assert row["f1_anger"] == 0.4 and row["f1_disgust"] == 0.5


def test_a_run_published_again_replaces_its_row_and_no_other(tmp_path):
    publish_made_up(tmp_path)
    name = RunName(profile="laptop", model="cnn_mfcc", seed=1)
    rows = publish._with_row(row_of(name, right=10), tmp_path)
    assert len(rows) == 12
    changed = (rows["profile"] == "laptop") & (rows["model"] == "cnn_mfcc") & (rows["seed"] == 1)
    assert rows.loc[changed, "accuracy"].tolist() == [1.0]
    assert (rows.loc[~changed, "accuracy"] < 1).all()


def test_rows_stand_in_one_order_however_they_came(tmp_path):
    names = [
        RunName(profile=p, model=m, seed=s)
        for p, m, s in (
            ("laptop", "cnn_mel", 0),
            ("article", "crnn_mfcc", 1),
            ("article", "crnn_mfcc", 0),
        )
    ]
    for name in names:
        write_results(publish._with_row(row_of(name), tmp_path), tmp_path)
    found = read_results(tmp_path)[["profile", "model", "seed"]].to_records(index=False).tolist()
    assert found == sorted(found) and len(found) == 3


def test_the_table_tells_one_seed_from_several(tmp_path):
    results = publish_made_up(tmp_path, models=("cnn_mel",), seeds=(0, 1, 2)).query(
        "profile == 'laptop' or seed == 0"
    )
    lines = cards.results_markdown(results).splitlines()
    assert "60.0 % (31.3 to 83.2), one seed" in lines[2]
    assert "60.0 %, 3 seeds from 60.0 to 60.0" in lines[2]
    assert lines[3].count("not yet run") == 2


def test_the_readmes_table_is_brought_up_to_date(tmp_path, monkeypatch):
    results = publish_made_up(tmp_path)
    monkeypatch.setattr(publish, "read_results", lambda: results)
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- results -->\nold\n<!-- end of results -->\nb\n")
    publish.write_readme_table(readme)
    table = cards.results_markdown(results)
    assert readme.read_text() == f"a\n<!-- results -->\n{table}\n<!-- end of results -->\nb\n"


def test_a_readme_without_its_marks_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- results -->\n")
    with pytest.raises(PublishedError, match="lacks the lines"):
        publish.write_readme_table(readme)
    assert readme.read_text() == "a\n<!-- results -->\n"


def workspace(root, profile="article", synthetic=False) -> Workspace:
    return Workspace(root=root, profile=PROFILES[profile], synthetic=synthetic)


def test_synthetic_data_and_the_demo_profile_are_not_published(demo_root):
    with pytest.raises(PublishedError, match="synthetic"):
        publish.check_publishable(workspace(demo_root, synthetic=True))
    with pytest.raises(PublishedError, match="demo is not published"):
        publish.check_publishable(workspace(demo_root, profile="demo"))


def test_incomplete_corpora_are_not_published(sample):
    with pytest.raises(PublishedError, match=r"missing.*`python -m sercore check`"):
        publish.check_publishable(workspace(sample))


def test_added_clips_are_not_published(sample, monkeypatch):
    """They would move the split, however sound the rest is."""
    monkeypatch.setattr(publish, "check_publishable", lambda workspace: None)
    with pytest.raises(PublishedError, match="not just those that were published"):
        publish.publish(workspace(sample), models=["cnn_mel"], seeds=[0])


@pytest.mark.parametrize("split", publish.PROTOCOLS)
def test_only_a_run_on_the_courses_split_is_shipped_and_shown(split, tmp_path, monkeypatch, sample):
    from sercore.manifest import article_view, build_manifest, without_calm

    clips = without_calm(article_view(build_manifest(sample)))
    named = clips[["path", "sha256"]].to_numpy().tolist()
    monkeypatch.setattr(publish, "check_publishable", lambda workspace: None)
    monkeypatch.setattr(publish, "_published_clips", lambda: named)
    done = []
    for name in ("save_model", "model_card", "draw_results", "write_readme_table", "draw_clips"):
        monkeypatch.setattr(publish, name, lambda *_, name=name: done.append(name) or "")
    monkeypatch.setattr(publish, "_trained", lambda *_: None)

    def trained(model, clips, root, *, splitter, learning_rates, **options):
        done.append(splitter)
        assert learning_rates == (protocol.rates and protocol.rates(model))
        facts = {"parameters": 1, "versions": dict.fromkeys(cards.VERSIONS, "1.0")}
        return Run(model, tmp_path, {"kind": "mel"}, facts, history(), predictions(7))

    monkeypatch.setattr(publish, "train_recipe", trained)
    protocol = publish.PROTOCOLS[split]
    here = replace(protocol, figures=tmp_path, models=protocol.models and tmp_path)
    publish.publish(workspace(sample), models=["cnn_mel"], seeds=[0], protocol=here)
    shown = ["save_model", "model_card", "draw_results", "write_readme_table", "draw_clips"]
    assert done == [protocol.splitter, *(shown if split == "course" else [])]
    assert read_results(tmp_path)["protocol"].tolist() == [protocol.title]


def test_slides_of_the_results(tmp_path):
    publish_made_up(tmp_path)
    names = {path.name for path in slides.draw_results(tmp_path)}
    confusions = {f"confusion_{model}.png" for model in MODEL_NAMES}
    assert names == {"comparison.png", "curves.png", "per_class.png", "per_corpus.png"} | confusions
    for name in names:
        assert (tmp_path / name).stat().st_size > 10_000


def test_before_a_run_at_the_articles_settings_only_the_comparison_is_drawn(tmp_path):
    publish_made_up(tmp_path, profiles=("laptop",))
    assert [path.name for path in slides.draw_results(tmp_path)] == ["comparison.png"]


def test_slides_of_clips_show_one_speaker_and_every_label(tmp_path, sample):
    from sercore.manifest import article_view, build_manifest

    clips = article_view(build_manifest(sample))
    with pytest.raises(ValueError, match="no clip of .*`python -m sercore check` tells"):
        slides.examples(clips[clips["corpus"] == "tess"])
