"""The course's commands; `python -m sercore --help` lists them."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sercore.collection.check import CheckError, check_data
from sercore.collection.download import CollectError, collect_all
from sercore.config import PROFILES, SercoreError, cache_dir, data_folder, load_profile, retraining
from sercore.corpora import CORPORA
from sercore.models import ARTICLE_MODELS, RECIPES
from sercore.workspace import Workspace, open_workspace

ENCODER = "encoder"
COMMANDS = {
    "course": "run every chapter into build/course",
    "lab": "open your own copies of the chapters, in work/; other options go to JupyterLab",
    "store": "run every chapter and store its outputs in it",
    "publish": "train runs and put them into figures/",
    "collect": "download the real corpora from Kaggle, or the speech encoder's weights",
    "check": "compare a folder of corpora with what was published",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 if it succeeded, 1 if not, 130 after Ctrl-C."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a letter that the terminal lacks is no error
    try:
        _run(options, rest)
    except SercoreError as error:
        print(f"sercore {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader, such as head, has seen enough. Python must not try to write the rest either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"\nsercore {options.command}: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sercore", description="The course's commands.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {
        # Without this, JupyterLab's --p=1 would be taken for --profile=1.
        name: commands.add_parser(name, help=about, description=about, allow_abbrev=name != "lab")
        for name, about in COMMANDS.items()
    }

    def add(command: str, *names: str, **options: Any) -> None:
        made[command].add_argument(*names, **options)

    folder = {"metavar": "DIR", "type": _folder, "help": "folder of the corpora"}
    for name in ("course", "lab", "store", "publish"):
        add(name, "--data", required=name in ("store", "publish"), **folder)
        add(name, "--profile", choices=PROFILES, help="size of the course")
    for name in ("course", "store"):
        add(name, "--retrain", action="store_true", help="train every model anew")
    about = f"without it {', '.join(ARTICLE_MODELS)}"
    add("publish", "--models", nargs="+", choices=RECIPES, default=ARTICLE_MODELS, help=about)
    add("publish", "--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="0 without it")
    protocols = ("course", "article", "replay", "honest", "speaker", "corpus")
    about = (
        "course: this course's random split; article: the article's own split; replay: that and "
        "the learning rates read off its curve; honest: nothing chosen on the test clips; speaker "
        "and corpus: nobody, and no corpus, in training and test"
    )
    add("publish", "--protocol", choices=protocols, default="course", help=about)
    about = f"one of {', '.join(CORPORA)}, or {ENCODER}; all corpora without any"
    add("collect", "names", nargs="*", metavar="NAME", help=about)
    add("collect", "--root", **folder)
    add("collect", "--yes", action="store_true", help="do not ask before the download")
    add("check", "data", **folder)
    add("check", "--all", action="store_true", help="name every file that stands out")
    return parser


def _folder(name: str) -> Path:
    # An empty name would mean the current folder, or the demo corpora without a word.
    if not name:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return Path(name).expanduser().resolve()


def _run(options: argparse.Namespace, rest: list[str]) -> None:
    # sercore.course is imported where it is used: that takes seconds, and not all commands need it.
    match options.command:
        case "course":
            from sercore.course.runner import run_course

            run_course(_workspace(options))
        case "store":
            from sercore.course.runner import store_outputs

            print(f"stored the outputs of {len(store_outputs(_workspace(options)))} notebooks")
        case "publish":
            from sercore.course.publishing import PROTOCOLS, publish

            chosen = {"models": options.models, "seeds": options.seeds}
            publish(_workspace(options), protocol=PROTOCOLS[options.protocol], **chosen)
        case "lab":
            from sercore.course.lab import open_lab

            _workspace(options)
            return open_lab(rest)
        case "collect":
            return _collect(options.names, options.root, yes=options.yes)
        case "check":
            return _check(options.data, all_names=options.all)
    if retraining():
        from sercore.store.runs import keep_retrained

        keep_retrained()


def _workspace(options: argparse.Namespace) -> Workspace:
    """Open the workspace. The options become variables, because the chapters read those."""
    if options.profile:
        os.environ["SER_PROFILE"] = options.profile
    if getattr(options, "retrain", False):
        os.environ["SER_RETRAIN"] = "1"
    if data := options.data or data_folder():
        os.environ["SER_DATA"] = str(data)
    else:
        print("No data is named: the synthetic demo corpora are used, and made where missing.")
    # Notebooks run in another folder, where a relative name would mean another place.
    os.environ["SER_CACHE"] = str(cache_dir())
    load_profile()  # a wrong name is to be said before the demo corpora are made
    workspace = open_workspace()
    print(f"{workspace}\n", flush=True)
    return workspace


def _collect(names: list[str], root: Path | None, *, yes: bool) -> None:
    if ENCODER in names:
        from sercore.collection.encoder import collect_encoder

        print(f"the encoder's weights are in {collect_encoder()}", flush=True)
        names = [name for name in names if name != ENCODER]
        if not names:
            return
    if root is None:
        raise CollectError("name the folder that the corpora should come into: --root DIR")
    collect_all(names, root, yes=yes)


def _check(data: Path, *, all_names: bool) -> None:
    check = check_data(data)
    short, everything = check.text(), check.text(shown=None)
    print(everything if all_names else short, flush=True)
    if short != everything and not all_names:
        print(f"\nAll names: python -m sercore check {shlex.quote(str(data))} --all")
    if check.wrong:
        raise CheckError(f"{check.wrong}; get the corpus anew (chapter 1), or correct your own")


if __name__ == "__main__":
    sys.exit(main())
