"""The course's commands; `python -m sercore --help` lists them."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sercore.collection.check import CheckError, check_data
from sercore.collection.download import CollectError, collect_all
from sercore.config import PROFILES, CacheError, cache_dir, load_profile
from sercore.corpora import CORPORA
from sercore.demo.render import DemoError
from sercore.manifest import ManifestError
from sercore.models import RECIPES
from sercore.corpora import DeclarationError
from sercore.store.files import write_whole
from sercore.workspace import NoDataError, Workspace, open_workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the program's name; `sys.argv` decides if it is not given.

    Returns
    -------
    int
        Exit status: 0 if the command succeeded, 1 if it failed, 130 if Ctrl-C ended it.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except _expected_errors() as error:
        print(f"sercore {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads the output, such as head, has had enough; nor must Python flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"\nsercore {options.command}: stopped", file=sys.stderr)
        return 130
    return 0


def _expected_errors() -> tuple[type[Exception], ...]:
    """Return the errors whose message says what to do, so that no traceback is needed."""
    errors = (
        CacheError,
        CheckError,
        CollectError,
        DeclarationError,
        DemoError,
        ManifestError,
        NoDataError,
    )
    # What was never imported cannot have raised.
    later = {
        "sercore.course.runner": "CourseError",
        "sercore.features": "FeatureError",
        "sercore.modelfile": "ModelFileError",
        "sercore.results": "PublishedError",
        "sercore.training": "TrainingError",
    }
    loaded = [
        (sys.modules[module], name) for module, name in later.items() if module in sys.modules
    ]
    return (*errors, *(getattr(module, name) for module, name in loaded))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sercore", description="The course's commands.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    course = commands.add_parser("course", help="run every chapter into build/course")
    course.set_defaults(run=_course)
    store = commands.add_parser("store", help="run every chapter and store its outputs in it")
    store.set_defaults(run=_store)
    for command in (course, store):
        command.add_argument(
            "--data",
            metavar="DIR",
            type=_folder,
            required=command is store,
            help="folder of the corpora; for course, SER_DATA or the demo corpora without it",
        )
        command.add_argument("--profile", choices=PROFILES, help="size of the course")
        command.add_argument(
            "--retrain",
            action="store_true",
            help="train every model, whether or not there is a finished run of it",
        )
    _add_publish(commands)
    _add_collect(commands)
    _add_check(commands)
    return parser


def _add_publish(commands: argparse._SubParsersAction) -> None:
    publish = commands.add_parser("publish", help="train runs and put them into figures/")
    publish.set_defaults(run=_publish)
    publish.add_argument(
        "--data", metavar="DIR", type=_folder, required=True, help="folder of all four corpora"
    )
    publish.add_argument("--profile", choices=PROFILES, help="size of the course")
    publish.add_argument(
        "--models", nargs="+", choices=RECIPES, default=list(RECIPES), help="all without it"
    )
    publish.add_argument(
        "--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="0 without it"
    )
    publish.add_argument(
        "--protocol",
        choices=("course", "article", "replay"),
        default="course",
        help="course: this course's random split; article: the article's own; replay: that and the "
        "learning rates told from its curve. The last two go into figures/article",
    )


def _add_collect(commands: argparse._SubParsersAction) -> None:
    collect = commands.add_parser("collect", help="download the real corpora from Kaggle")
    collect.set_defaults(run=_collect)
    collect.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(CORPORA)}; all without any"
    )
    collect.add_argument(
        "--root", metavar="DIR", type=_folder, required=True, help="folder of the corpora"
    )
    collect.add_argument("--yes", action="store_true", help="do not ask before the download")


def _add_check(commands: argparse._SubParsersAction) -> None:
    check = commands.add_parser("check", help="compare a folder of corpora with what was published")
    check.set_defaults(run=_check)
    check.add_argument("data", metavar="DIR", type=_folder, help="folder of the corpora")
    check.add_argument("--all", action="store_true", help="name every file that stands out")


def _folder(name: str) -> Path:
    # An empty name would be the current folder, or fall back to the demo corpora unasked.
    if not name:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return Path(name).expanduser().resolve()


def _course(options: argparse.Namespace) -> None:
    from sercore import course  # here and below: it takes seconds, and check has no use for it

    with _retraining(options.retrain):
        course.run_course(_workspace(options))


def _store(options: argparse.Namespace) -> None:
    from sercore.course import runner as course

    with _retraining(options.retrain):
        written = course.store_outputs(_workspace(options))
    print(f"stored the outputs of {len(written)} notebooks")


def _publish(options: argparse.Namespace) -> None:
    from sercore.course.publishing import PROTOCOLS, publish

    publish(
        _workspace(options),
        models=options.models,
        seeds=options.seeds,
        protocol=PROTOCOLS[options.protocol],
    )


def _collect(options: argparse.Namespace) -> None:
    collect_all(options.names, options.root, yes=options.yes)


def _check(options: argparse.Namespace) -> None:
    check = check_data(options.data)
    text = check.text(shown=None) if options.all else check.text()
    print(text, flush=True)
    if not options.all and text != check.text(shown=None):
        print(f"\nAll names: python -m sercore check {shlex.quote(str(options.data))} --all")
    if check.wrong:
        raise CheckError(f"{check.wrong}; chapter 1 shows how to get a corpus anew")


@contextmanager
def _retraining(wanted: bool) -> Iterator[None]:
    """Have each model trained once while the chapters run, which share models.

    The mark under which that happens is kept until they have ended, so that a retraining which was
    interrupted goes on when it is asked for again.
    """
    if not wanted:
        yield
        return
    pending = cache_dir() / "retraining.txt"
    if not pending.exists():
        write_whole(pending, datetime.now().isoformat())
    os.environ["SER_RETRAIN"] = pending.read_text(encoding="utf-8")
    yield
    pending.unlink(missing_ok=True)  # another run under the same mark may have ended first


def _workspace(options: argparse.Namespace) -> Workspace:
    """Open the workspace; the options become variables, since the chapters read those."""
    from sercore.course.runner import CourseError

    if options.data:
        os.environ["SER_DATA"] = str(options.data)
    if options.profile:
        os.environ["SER_PROFILE"] = options.profile
    try:
        load_profile()
    except ValueError as error:
        raise CourseError(f"SER_PROFILE: {error}") from error
    if not os.environ.get("SER_DATA"):
        print("No data is named: the synthetic demo corpora are used, and made where missing.")
    workspace = open_workspace()
    print(f"{workspace}\n", flush=True)
    return workspace


if __name__ == "__main__":
    sys.exit(main())
