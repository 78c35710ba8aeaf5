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
from sercore.collection.download import collect_all
from sercore.config import PROFILES, SercoreError, cache_dir, data_folder, load_profile, retraining
from sercore.corpora import CORPORA
from sercore.models import RECIPES
from sercore.workspace import Workspace, open_workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 if it succeeded, 1 if not, 130 after Ctrl-C."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not _lab:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a letter that the terminal lacks is no error
    try:
        options.run(options)
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
    made = {}
    for run in (_course, _lab, _store, _publish, _collect, _check):
        name, about = run.__name__.strip("_"), run.__doc__
        # JupyterLab's --p... is not to be taken for --profile.
        made[name] = commands.add_parser(
            name, help=about, description=about, allow_abbrev=run is not _lab
        )
        made[name].set_defaults(run=run)
    folder: dict[str, Any] = {"metavar": "DIR", "type": _folder, "help": "folder of the corpora"}
    for name in ("course", "lab", "store", "publish"):
        made[name].add_argument("--data", required=name in ("store", "publish"), **folder)
        made[name].add_argument("--profile", choices=PROFILES, help="size of the course")
    for name in ("course", "store"):
        about = "train every model, even if there is a finished run of it"
        made[name].add_argument("--retrain", action="store_true", help=about)
    add = made["publish"].add_argument
    add("--models", nargs="+", choices=RECIPES, default=list(RECIPES), help="all without it")
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="0 without it")
    about = (
        "course: this course's random split; article: the article's own split; replay: that and "
        "the learning rates read off its curve. The last two go into figures/article"
    )
    add("--protocol", choices=("course", "article", "replay"), default="course", help=about)
    about = f"one of {', '.join(CORPORA)}; all without any"
    made["collect"].add_argument("names", nargs="*", metavar="NAME", help=about)
    made["collect"].add_argument("--root", required=True, **folder)
    about = "do not ask before the download"
    made["collect"].add_argument("--yes", action="store_true", help=about)
    made["check"].add_argument("data", **folder)
    about = "name every file that stands out"
    made["check"].add_argument("--all", action="store_true", help=about)
    return parser


def _folder(name: str) -> Path:
    # An empty name would mean the current folder, or the demo corpora without a word.
    if not name:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return Path(name).expanduser().resolve()


# The docstring of a command's function is its text in the list of commands. `sercore.course` is
# imported where it is used, because that takes seconds and `check` does not need it.


def _course(options: argparse.Namespace) -> None:
    """Run every chapter into build/course."""
    from sercore.course.runner import run_course

    run_course(_workspace(options))
    _keep_retrained()


def _lab(options: argparse.Namespace) -> None:
    """Open your own copies of the chapters, in work/; other options are passed to JupyterLab."""
    from sercore.course.lab import open_lab

    _workspace(options)
    open_lab(options.rest)


def _store(options: argparse.Namespace) -> None:
    """Run every chapter and store its outputs in it."""
    from sercore.course.runner import store_outputs

    written = store_outputs(_workspace(options))
    _keep_retrained()
    print(f"stored the outputs of {len(written)} notebooks")


def _publish(options: argparse.Namespace) -> None:
    """Train runs and put them into figures/."""
    from sercore.course.publishing import PROTOCOLS, publish

    protocol = PROTOCOLS[options.protocol]
    publish(_workspace(options), models=options.models, seeds=options.seeds, protocol=protocol)
    _keep_retrained()


def _collect(options: argparse.Namespace) -> None:
    """Download the real corpora from Kaggle."""
    collect_all(options.names, options.root, yes=options.yes)


def _check(options: argparse.Namespace) -> None:
    """Compare a folder of corpora with what was published."""
    check = check_data(options.data)
    everything = check.text(shown=None)
    text = everything if options.all else check.text()
    print(text, flush=True)
    if text != everything:
        print(f"\nAll names: python -m sercore check {shlex.quote(str(options.data))} --all")
    if check.wrong:
        raise CheckError(f"{check.wrong}; chapter 1 shows how to get a corpus anew")


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


def _keep_retrained() -> None:
    """After a retraining that went well, put its runs in the place of the old ones."""
    if retraining():
        from sercore.store.runs import keep_retrained

        keep_retrained()


if __name__ == "__main__":
    sys.exit(main())
