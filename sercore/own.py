"""Corpora that a student adds: folders per emotion, or a file `corpus.toml` (chapter 2)."""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from sercore.corpora import CORPORA, LABELS, Corpus, LabelError, Labels
from sercore.store.scan import is_plain

DECLARATION = "corpus.toml"
"""File that declares a corpus, in its folder."""

SKIP = "skip"
"""In place of a label: clips with this code are counted and left out."""

FOLDER_LABELS: Mapping[str, str] = {
    **{label: label for label in LABELS},
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Names of folders that say their emotion without a declaration; upper case or lower."""

_TEXTS = ("title", "licence", "citation", "pattern")
_KEYS = (*_TEXTS, "emotions", "name", "speakers")
_GROUPS = ("speaker", "emotion", "sentence", "intensity")
_SEXES = ("female", "male", "")


class DeclarationError(ValueError):
    """A `corpus.toml` that cannot be used; the message names file, key and alternatives."""


@dataclass(frozen=True, kw_only=True)
class OwnCorpus:
    """A corpus that was added to the data folder.

    Attributes
    ----------
    name, title, licence, citation : str
        As in `Corpus`; the last two are empty where nothing was declared.
    folder : str
        Name of its folder.
    grammar : str
        The pattern, to be shown.
    pattern : re.Pattern
        A named group `emotion` and, where names say more, `speaker`, `sentence`, `intensity`.
        If it has a slash it describes the whole path below the folder, else the file name.
    emotions : Mapping[str, str]
        From the corpus's code to one of `LABELS` or `SKIP`.
    speakers : Mapping[str, str]
        From the speaker's code to the sex, where that was declared.
    ignore_case : bool
        Whether codes of emotions may be in upper case.
    """

    name: str
    title: str
    licence: str
    citation: str
    folder: str
    grammar: str
    pattern: re.Pattern[str]
    emotions: Mapping[str, str]
    speakers: Mapping[str, str] = field(default_factory=dict)
    ignore_case: bool = False

    def parse(self, path: str | PurePath) -> Labels:
        """Read the labels from a clip's path.

        Parameters
        ----------
        path : str or PurePath
            From the data folder, as the manifest has it, or below the corpus's folder.

        Returns
        -------
        Labels
            `emotion` may be `SKIP`. What the pattern has no group for is empty.

        Raises
        ------
        LabelError
            If the path does not follow the pattern, or its emotion or speaker was not declared.
        """
        below = PurePath(path).as_posix().removeprefix(f"{self.folder}/")
        text = unicodedata.normalize("NFC", below)
        name = text.rsplit("/", 1)[-1]
        subject = text if "/" in self.pattern.pattern else name
        is_wav = subject[-4:].lower() == ".wav"
        match = self.pattern.fullmatch(subject[:-4]) if is_wav else None
        if match is None:
            raise LabelError(f"{subject} does not follow {self.title}'s pattern {self.grammar}")
        codes = {what: code or "" for what, code in match.groupdict().items()}
        emotion = codes["emotion"].casefold() if self.ignore_case else codes["emotion"]
        speaker = codes.get("speaker", "")
        for what, code, known in (
            ("emotion", emotion, self.emotions),
            ("speaker", speaker, self.speakers),
        ):
            if code not in known and (what == "emotion" or (known and code)):
                raise LabelError(
                    f"bad {what} code {codes[what]!r} in {subject}, "
                    f"expected one of {', '.join(known)}; {self.folder}/{DECLARATION} can add it"
                )
        return Labels(
            name=f"{name[:-4]}.wav",
            corpus=self.name,
            speaker=f"{self.name}_{speaker}" if speaker else "",
            sex=self.speakers.get(speaker, ""),
            age=None,
            emotion=self.emotions[emotion],
            intensity=codes.get("intensity", ""),
            sentence=codes.get("sentence", ""),
        )


AnyCorpus = Corpus | OwnCorpus


def corpora_in(root: str | os.PathLike) -> dict[str, AnyCorpus]:
    """Return the corpora that a data folder holds, by the name of their folder.

    Parameters
    ----------
    root : path
        A folder. One of its folders is a corpus if it has the name of one of `CORPORA`, holds a
        file `corpus.toml`, or holds folders named after emotions (`FOLDER_LABELS`).

    Returns
    -------
    dict
        First those of `CORPORA` in their order, then the added ones by the alphabet.

    Raises
    ------
    DeclarationError
        If a `corpus.toml` cannot be used, or two corpora have one name.
    OSError
        If `root` is no folder or cannot be opened.
    """
    root = Path(root)
    folders = _folders(root)
    found: dict[str, AnyCorpus] = {name: CORPORA[name] for name in CORPORA if name in folders}
    for folder in sorted(folders):
        if (root / folder / DECLARATION).is_file():
            found[folder] = read_declaration(root / folder / DECLARATION)
        elif folder not in CORPORA and _has_emotion_folders(root / folder):
            found[folder] = _plain_corpus(folder)
    names = [corpus.name for corpus in found.values()]
    for folder, corpus in found.items():
        if names.count(corpus.name) > 1:
            raise DeclarationError(
                f"{folder}/{DECLARATION}: name {corpus.name!r} is taken by another folder; "
                "choose another name"
            )
    return found


def _folders(root: Path) -> set[str]:
    with os.scandir(root) as entries:
        folders = [entry.name for entry in entries if entry.is_dir()]
    return {name for name in folders if not name.startswith(".") and is_plain(name)}


def _has_emotion_folders(folder: Path) -> bool:
    if not os.access(folder, os.R_OK | os.X_OK):  # what cannot be opened cannot be recognised
        return False
    return any(name.casefold() in FOLDER_LABELS for name in _folders(folder))


def _plain_corpus(folder: str) -> OwnCorpus:
    name = unicodedata.normalize("NFC", folder)
    return OwnCorpus(
        name=name,
        title=name,
        licence="",
        citation="",
        folder=folder,
        grammar="EMOTION/….wav",
        pattern=re.compile(r"(?P<emotion>[^/]+)/.+", re.DOTALL),
        emotions=FOLDER_LABELS,
        ignore_case=True,
    )


def read_declaration(path: str | os.PathLike) -> OwnCorpus:
    """Read a `corpus.toml`.

    Parameters
    ----------
    path : path
        The file, in the corpus's folder.

    Returns
    -------
    OwnCorpus

    Raises
    ------
    DeclarationError
        If the file cannot be read, is not TOML, or a key in it is missing, unknown or of no use.
    """
    path = Path(path)
    folder = path.parent.name
    where = f"{folder}/{path.name}"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeclarationError(f"{where} cannot be opened ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML: the line is named
        raise DeclarationError(f"{where} is not TOML: {error}") from error
    _check_keys(values, where)
    name = values.get("name", folder)
    if not re.fullmatch(r"[\w .-]+", name):
        raise DeclarationError(
            f"{where}: name {name!r} has signs other than letters, digits, . _ -"
        )
    if folder in CORPORA or name in CORPORA:
        raise DeclarationError(
            f"{where}: {name if name in CORPORA else folder} is one of the course's own corpora "
            f"({', '.join(CORPORA)}); choose another name"
        )
    return OwnCorpus(
        name=unicodedata.normalize("NFC", name),
        title=values["title"],
        licence=values["licence"],
        citation=values["citation"],
        folder=folder,
        grammar=values["pattern"],
        pattern=_pattern(values["pattern"], where),
        emotions=_choices(values, "emotions", (*LABELS, SKIP), where),
        speakers=_choices(values, "speakers", _SEXES, where) if "speakers" in values else {},
    )


def _check_keys(values: Mapping[str, object], where: str) -> None:
    for key in values:
        if key not in _KEYS:
            raise DeclarationError(
                f"{where}: unknown key {key!r}, expected one of {', '.join(_KEYS)}"
            )
    for key in (*_TEXTS, "emotions"):
        if key not in values:
            raise DeclarationError(f"{where}: the key {key!r} is missing")
    for key in (*_TEXTS, "name"):
        value = values.get(key, "-")
        if not isinstance(value, str) or not value.strip():
            raise DeclarationError(f"{where}: {key} must be a text, not {value!r}")


def _pattern(text: str, where: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(unicodedata.normalize("NFC", text))
    except (re.error, OverflowError, RecursionError) as error:
        raise DeclarationError(f"{where}: pattern is not a regular expression: {error}") from error
    if "emotion" not in pattern.groupindex:
        raise DeclarationError(f"{where}: pattern has no named group (?P<emotion>...)")
    for group in pattern.groupindex:
        if group not in _GROUPS:
            raise DeclarationError(
                f"{where}: pattern has an unknown group {group!r}, "
                f"expected one of {', '.join(_GROUPS)}"
            )
    return pattern


def _choices(
    values: Mapping[str, object], key: str, allowed: tuple[str, ...], where: str
) -> dict[str, str]:
    table = values[key]
    if not isinstance(table, dict) or not table:
        raise DeclarationError(f"{where}: {key} must be a table with a line for each code")
    for code, value in table.items():
        if value not in allowed:
            words = ", ".join(word or '""' for word in allowed)
            raise DeclarationError(f"{where}: {key}.{code} is {value!r}, expected one of {words}")
    return {unicodedata.normalize("NFC", code): value for code, value in table.items()}
