"""What is published agrees with itself; what is published next will, too."""

import gzip
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from sercore import article, results
from sercore.collection.check import check_data
from sercore.config import PROFILES
from sercore.corpora import CORPORA, EMOTIONS
from sercore.course import pictures, publishing, texts
from sercore.evaluation import score
from sercore.functionals import VOICE
from sercore.manifest import article_view, build_manifest
from sercore.modelfile import read_model
from sercore.models import RECIPES
from sercore.results import BY_SPEAKER, FIGURES, MODELS, ResultsError, RunName
from sercore.splits import Split
from sercore.store.files import sha256
from sercore.workspace import Workspace
from tests.published import MadeUpRun, article_clips, publish_made_up
from tests.test_models import FOURTH

PROTOCOLS = publishing.PROTOCOLS
FOLDED = [key for key in PROTOCOLS if key in ("honest", "speaker", "corpus")]
SINGLE = [key for key in PROTOCOLS if key not in FOLDED]
RUNS = [
    pytest.param(protocol, row, id=f"{key}-{row['profile']}-{row['model']}-{row['seed']}")
    for key, protocol in PROTOCOLS.items()
    if key in SINGLE
    for row in results.read_results(protocol.figures).to_dict("records")
]
read_predictions = cache(results.read_predictions)


def name_of(row) -> RunName:
    return RunName(profile=row["profile"], model=row["model"], seed=row["seed"])


def workspace(root, profile="article", synthetic=False) -> Workspace:
    return Workspace(root=root, profile=PROFILES[profile], synthetic=synthetic)


@pytest.mark.parametrize(("protocol", "row"), RUNS)
def test_a_run_is_of_the_split_the_model_and_the_rates_that_its_row_names(protocol, row):
    clips, recipe, profile = article_clips(), RECIPES[row["model"]], PROFILES[row["profile"]]
    told = ["path", "corpus", "speaker", "emotion"]
    test = clips[told].iloc[protocol.splits(clips)[""].test].reset_index(drop=True)
    table = read_predictions(name_of(row), protocol.figures)
    pd.testing.assert_frame_equal(table[told], test, check_dtype=False)
    assert (row["train"], row["test"]) == (len(clips) - len(test), len(test)) == (9576, 2394)
    shape = (profile.audio.n_mels, profile.audio.n_frames, 1)
    assert row["parameters"] == recipe.build(shape, len(EMOTIONS)).count_params()
    assert row["features"] == "+".join(recipe.kinds) and row["protocol"] == protocol.title
    history = results.read_history(name_of(row), protocol.figures)
    expected = article.plateau_rates(history["val_loss"], profile.training)
    if protocol is PROTOCOLS["replay"]:
        rates = protocol.recipe(row["model"]).schedule.rates
        expected = [rates[min(epoch, len(rates) - 1)] for epoch in range(len(history))]
    assert history["learning_rate"].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("key", FOLDED)
def test_tables_of_folds_hold_each_test_clip_once_and_give_the_published_numbers(key, tmp_path):
    folder, splits = PROTOCOLS[key].figures, PROTOCOLS[key].splits(article_clips())
    rows = results.read_results(folder)
    told = ["path", "corpus", "speaker", "emotion"]
    for row in rows.to_dict("records"):
        table = read_predictions(name_of(row), folder)
        assert tuple(table) == results.FOLD_COLUMNS
        if row["fold"] != results.ALL:
            table = table[table["fold"] == row["fold"]]
            test = article_clips()[told].iloc[splits[row["fold"]].test]
            assert table[told].to_numpy().tolist() == test.sort_values("path").to_numpy().tolist()
            sizes = [len(part) for part in vars(splits[row["fold"]]).values()]
            assert [row["train"], row["valid"], row["test"]] == sizes
        numbers = publishing.fold_numbers(table)
        found = {column: row[column] for column in numbers}
        assert found == pytest.approx(numbers, nan_ok=True)
    written = publishing.write_results(rows, tmp_path).read_bytes()
    assert written == results.results_file(folder).read_bytes()
    names = {str(name_of(row)) for row in rows.to_dict("records")}
    assert {file.name.split(".")[0] for file in (folder / "predictions").glob("*")} == names


def test_a_fold_published_again_replaces_its_rows_and_no_others(tmp_path):
    protocol = replace(PROTOCOLS["speaker"], figures=tmp_path)
    name = RunName(profile="laptop", model="crnn_mfcc", seed=0)
    split = Split(np.arange(40), np.arange(5), np.arange(10))
    for fold, right in (("1", 7), ("2", 6), ("1", 9)):
        run = MadeUpRun("crnn_mfcc", right)
        publishing.publish_fold(run, name, fold=fold, split=split, protocol=protocol)
    rows = results.read_results(tmp_path).set_index("fold")
    assert rows["accuracy"].to_dict() == {"1": 0.9, "2": 0.6, results.ALL: 0.75}
    assert rows["test"].to_dict() == {"1": 10, "2": 10, results.ALL: 20}
    assert rows["epochs"].to_dict() == {"1": 3, "2": 3, results.ALL: 6}
    assert results.read_predictions(name, tmp_path)["fold"].tolist() == ["1"] * 10 + ["2"] * 10


@pytest.mark.parametrize("key", SINGLE)
def test_published_tables_are_written_to_the_same_bytes(key, tmp_path):
    folder, names = PROTOCOLS[key].figures, []
    table = results.read_results(folder)
    for row in table.to_dict("records"):
        names.append(str(name := name_of(row)))
        predictions = read_predictions(name, folder)
        history = results.read_history(name, folder)
        numbers = publishing.numbers(predictions, history)
        assert {column: row[column] for column in numbers} == numbers
        written = publishing.write_predictions(predictions, name, tmp_path).read_bytes()
        # Another zlib may pack the same text in another way. No time is in the archive.
        text = gzip.decompress(name.predictions_file(folder).read_bytes())
        assert gzip.decompress(written) == text and written[4:8] == bytes(4)
        written = publishing.write_history(history, name, tmp_path).read_bytes()
        assert written == name.history_file(folder).read_bytes()
    written = publishing.write_results(table, tmp_path).read_bytes()
    assert written == results.results_file(folder).read_bytes()
    assert {file.suffix for file in folder.rglob("*.*")} <= {".csv", ".gz", ".md", ".png"}
    for kind in ("predictions", "history"):  # no clip is there, and no run without its row
        assert sorted(f.name.split(".")[0] for f in (folder / kind).glob("*")) == sorted(names)


def test_a_head_is_shipped_with_the_figures_of_its_folds(tmp_path):
    protocol = replace(PROTOCOLS["speaker"], figures=tmp_path, heads=tmp_path / "models")
    run, name = MadeUpRun("functionals"), RunName(profile="laptop", model="functionals", seed=0)
    split = Split(np.arange(40), np.arange(5), np.arange(10))
    publishing.publish_fold(run, name, fold="1", split=split, protocol=protocol)
    publishing.ship_head(run, name, clips=article_clips(), protocol=protocol)
    model = read_model(tmp_path / "models" / "functionals.keras")
    assert (model.name, model.audio, model.facts["profile"]) == ("functionals", VOICE, "laptop")
    card = (tmp_path / "models" / "functionals.md").read_text(encoding="utf-8")
    assert "trained on all 10 clips" in card and "| SAVEE | 1 | 7 | 7 | 100.0 % |" in card
    assert "| CREMA-D, 50 years and more | 1 | 1 | 1 | 0.0 % |" in card


HEADS = sorted({m for m in results.read_results(BY_SPEAKER)["model"] if RECIPES[m].learn})


def test_a_model_is_shipped_for_each_run_that_is_to_be():
    runs = results.read_results().query("profile == 'article' and seed == 0")
    shipped = sorted(file.stem for file in MODELS.glob("*.keras"))
    assert shipped == sorted([*runs["model"], *HEADS])
    assert shipped == sorted(file.stem for file in MODELS.glob("*.md"))
    for row in runs.to_dict("records"):
        card = (MODELS / f"{row['model']}.md").read_text(encoding="utf-8")
        assert card == texts.model_card(row)
        model = read_model(MODELS / f"{row['model']}.keras")
        assert model.facts["tables"] == results.tables_digest(name_of(row))


@pytest.mark.parametrize("model", HEADS)
def test_a_heads_card_gives_what_was_published_of_it(model):
    facts, name = (
        read_model(MODELS / f"{model}.keras").facts,
        RunName(profile="laptop", model=model, seed=0),
    )
    assert facts["tables"] == sha256(name.predictions_file(BY_SPEAKER))
    card = (MODELS / f"{model}.md").read_text(encoding="utf-8")
    assert card == publishing.card_of_head(name, article_clips())
    tested = read_predictions(name, BY_SPEAKER)
    women = article_clips().set_index("path")["sex"][tested["path"]].to_numpy() == "female"
    women &= (tested["corpus"] == "cremad").to_numpy()
    found = f"{women.sum():,} | 6 | {texts.percent(score(tested[women]).uar)}"
    assert f"| CREMA-D, female | 43 | {found} |" in card


def test_the_readme_says_what_the_published_tables_give():
    before, between, after = texts.parts_of(texts.README)
    assert between == texts.results_text()
    for part in (before + between + after).split("](figures/")[1:]:
        assert (FIGURES / part.split(")")[0]).is_file()


def test_a_run_published_again_replaces_its_row_and_no_other(tmp_path):
    publish_made_up(tmp_path, seeds=(1, 0))
    before = results.read_results(tmp_path)
    publish_made_up(tmp_path, profiles=("laptop",), seeds=(1,), models=["cnn_mfcc"])
    after = results.read_results(tmp_path)
    changed = (before != after).any(axis=1)
    (row,), (again,) = (table[changed].to_dict("records") for table in (before, after))
    assert str(name_of(row)) == str(name_of(again)) == "laptop-cnn_mfcc-1"
    assert (row["accuracy"], again["accuracy"]) == (0.7, 0.6)
    keys = after[["profile", "model", "seed"]].to_numpy().tolist()
    assert keys == sorted(keys) and len(keys) == 12
    assert list(after) == list(results.read_results())  # the columns
    assert (row["train"], row["test"], row["epochs"], row["best_epoch"]) == (40, 10, 3, 2)
    assert row["seconds"] == 31 and row["accuracy_savee"] == 1 and row["accuracy_tess"] == 0
    # One of three clips of anger is found and two are called so; disgust: one, found, three.
    assert row["f1_anger"] == 0.4 and row["f1_disgust"] == 0.5


@pytest.mark.parametrize("text", ["", "<!-- results -->\n", "<!-- end of results -->\n"])
def test_a_readme_without_its_marks_is_left_alone(tmp_path, text):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(ResultsError, match="<!-- results -->"):
        texts.write_readme(file)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("profile", "synthetic", "problem"),
    [("article", True, "synthetic"), ("demo", False, "demo"), ("article", False, "missing")],
)
def test_what_is_not_the_four_corpora_is_not_published(sample, profile, synthetic, problem):
    with pytest.raises(ResultsError, match=problem):
        publishing.publishable_clips(workspace(sample, profile, synthetic))


def test_added_clips_are_not_published(sample, monkeypatch):
    """They would change the split, however sound the rest is."""
    check = check_data(sample)
    sound = replace(check, files=check.files[:0], counts=check.counts.reindex(list(CORPORA)))
    monkeypatch.setattr(publishing, "check_data", lambda root: sound)
    with pytest.raises(ResultsError, match="added"):
        publishing.publishable_clips(workspace(sample))


@pytest.mark.parametrize("key", SINGLE)
def test_a_run_is_published_and_the_courses_is_shipped(key, tmp_path, monkeypatch, sample):
    """The course's is of a fourth model, which has two inputs and no figure in the article."""
    model = "both" if key == "course" else "crnn_mfcc"
    monkeypatch.setitem(RECIPES, "both", FOURTH)
    clips, trained, drawn = article_view(build_manifest(sample)), [], []

    def train_recipe(recipe, clips, root, *, splitter, **options):
        trained.append((recipe, set(clips["emotion"])))
        return MadeUpRun(recipe.name)

    monkeypatch.setattr(publishing, "publishable_clips", lambda workspace: clips)
    monkeypatch.setattr(publishing, "train_recipe", train_recipe)
    monkeypatch.setattr(pictures, "draw", lambda each, _: drawn.extend(name for name, _ in each))
    figures, models, text = tmp_path / "figures", tmp_path / "models", tmp_path / "README.md"
    shutil.copytree(FIGURES, figures)
    text.write_text("a\n<!-- results -->\nold\n<!-- end of results -->\nb\n")
    protocol = PROTOCOLS[key]
    there = figures / protocol.figures.relative_to(FIGURES)
    here = replace(protocol, figures=there, models=protocol.models and models)
    options = {"protocol": here, "readme": text, "figures": figures}
    publishing.publish(workspace(sample), models=[model], seeds=[0], **options)
    assert trained == [(protocol.recipe(model), set(EMOTIONS))]
    row = results.read_results(there).set_index("model").query("seed == 0 and accuracy == 0.7")
    assert row["protocol"].tolist() == [protocol.title] and row.index.tolist() == [model]
    assert texts.parts_of(text)[1] == texts.results_text(figures) != "old\n"
    if key != "course":
        assert not drawn and not models.exists()
        return
    assert row["features"].item() == "mel+mfcc"
    assert f"| {FOURTH.title} | – |" in text.read_text("utf-8")
    assert {"confusion_both", "confusion_cnn_mel", "comparison", "mfcc"} <= set(drawn)
    assert FOURTH.title in (models / "both.md").read_text("utf-8")
    assert read_model(models / "both.keras").kinds == ("mel", "mfcc")
