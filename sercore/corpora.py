"""What each corpus is, and how its file names spell their labels (chapters 1 and 2).

A corpus is declared in a TOML file: the four of the article in `sercore/data/corpora/`, a corpus
of your own in `corpus.toml` in its folder, with the same keys. Folders named after emotions need
no declaration.
"""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from sercore.config import SercoreError
from sercore.store.scan import folders_in, is_plain

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""The seven classes every model predicts, in the order of its outputs."""

LABELS = (*EMOTIONS, "calm")
"""All labels a clip can carry. Only RAVDESS has calm, which the article drops."""

SKIP = "skip"
"""In place of a label: clips with this code are counted and left out."""

DECLARATION = "corpus.toml"
"""The file that declares a corpus of your own, in its folder."""


class LabelError(SercoreError, ValueError):
    """A file name that does not follow the grammar of its corpus."""


class DeclarationError(SercoreError, ValueError):
    """A `corpus.toml` that cannot be used; the message names file, key and alternatives."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a file name says about its clip. A text is empty where the name does not say it."""

    name: str
    """The file name as the corpus spells it: a misspelt one comes back right."""
    corpus: str
    speaker: str
    """Corpus and speaker, such as `tess_OAF`, so that no two corpora share a speaker."""
    sex: str
    age: int | None
    emotion: str
    """One of `LABELS`, or `SKIP`."""
    intensity: str
    sentence: str
    """The corpus's own code for what is said."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus: what it is, where it comes from, and the grammar of its file names.

    Four tables lead from the corpus's own codes to what they mean: `emotions` to one of `LABELS` or
    to `SKIP`, `intensities` to a common word, `speakers` to sex and age in years, and `aliases` from
    a misspelt name to the name that is meant, both without `.wav`.
    """

    name: str
    title: str
    licence: str
    citation: str
    folder: str
    """Its folder in the data folder."""
    pattern: re.Pattern[str]
    """The name without `.wav`; if there is a slash in it, the path below the folder. It has the
    named group `emotion`, and `speaker`, `sentence`, `intensity`, `take` where names say them."""
    grammar: str
    """The pattern in words."""
    emotions: Mapping[str, str]
    intensities: Mapping[str, str] = field(default_factory=dict)
    speakers: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    template: str = ""
    """The name without `.wav`, with a `{field}` for each group of the pattern."""
    speaker_folders: bool = False
    """Whether `DC/a01.wav` may stand for `DC_a01.wav`."""
    ignore_case: bool = False
    """Whether codes of emotions may be in upper case."""
    example: str = ""
    homepage: str = ""
    kaggle: str = ""
    """Handle of the copy on Kaggle that the article downloads."""
    clips: int = 0
    """Number of clips in a complete copy; 0 if it is not known."""

    def parse(self, path: str | PurePath) -> Labels:
        """Read the labels of a clip from its name, or from its path as the manifest has it."""
        codes = self.codes(path)
        speaker, intensity = codes.get("speaker", ""), codes.get("intensity", "")
        sex, age = self.speakers.get(speaker, ("", None))
        stem = self._written(path)[:-4]
        name = self.aliases.get(stem, stem).rsplit("/", 1)[-1]
        return Labels(
            name=self.format(codes) if self.template else f"{name}.wav",
            corpus=self.name,
            speaker=f"{self.name}_{speaker}" if speaker else "",
            sex=sex,
            age=age,
            emotion=self.emotions[codes["emotion"]],
            intensity=self.intensities.get(intensity, intensity),
            sentence=codes.get("sentence", ""),
        )

    def codes(self, path: str | PurePath) -> dict[str, str]:
        """Take a clip's name apart into the corpus's own codes, one for each group of the pattern.

        Upper and lower case differ, except in `.wav`. A name that does not follow the pattern, or
        has a code that is not one of the corpus's, is a `LabelError`.
        """
        written, parent = self._written(path), PurePath(path).parent.name
        stem = self.aliases.get(written[:-4], written[:-4])
        match = self.pattern.fullmatch(stem)
        if match is None and self.speaker_folders and parent in self.speakers:
            match = self.pattern.fullmatch(f"{parent}_{stem}")
        if match is None or written[-4:].lower() != ".wav":
            example = f", for example {self.example}" if self.example else ""
            raise LabelError(
                f"{written} does not follow {self.title}'s pattern {self.grammar}{example}"
            )
        codes = {what: code or "" for what, code in match.groupdict().items()}
        if self.ignore_case:
            codes["emotion"] = codes["emotion"].casefold()
        for what, code in codes.items():
            known = getattr(self, _TABLE_OF[what])
            # What is not declared may be anything, and a group may be empty where it is optional.
            if code not in known and (what == "emotion" or (known and code)):
                raise LabelError(
                    f"bad {what} code {match[what]!r} in {written}, "
                    f"expected one of {self._in_words(list(known))}"
                )
        if problem := _bad_combination(self.name, codes):
            raise LabelError(f"bad combination in {written}: {problem}")
        return codes

    def format(self, codes: Mapping[str, str]) -> str:
        """Put codes together into a file name, the inverse of `codes`; each field needs a code."""
        return _FIELD.sub(lambda found: codes[found[1]], self.template) + ".wav"

    def _in_words(self, codes: list[str]) -> str:
        if self.name not in _FOUR:
            return f"{', '.join(codes)}; {self.folder}/{DECLARATION} can add it"
        return ", ".join(codes) if len(codes) <= 12 else f"{codes[0]} to {codes[-1]}"

    def _written(self, path: str | PurePath) -> str:
        """Return the part of a path that the pattern describes, with `.wav`."""
        below = PurePath(path).as_posix().removeprefix(f"{self.folder}/")
        return _nfc(below if "/" in self.pattern.pattern else PurePath(path).name)


def _bad_combination(corpus: str, codes: Mapping[str, str]) -> str:
    """Say what is wrong with codes together, where a pattern cannot say it."""
    emotion, sentence, intensity = (codes.get(w) for w in ("emotion", "sentence", "intensity"))
    if corpus == "cremad" and (sentence == "IEO" and emotion != "NEU") == (intensity == "XX"):
        return "sentence IEO has LO, MD or HI in all emotions but NEU, and everything else has XX"
    if corpus == "ravdess" and (emotion, intensity) == ("01", "02"):
        return "neutral (01) has no strong intensity (02)"
    last = 30 if emotion == "n" else 15
    if corpus == "savee" and not 1 <= int(codes["sentence"].removeprefix(codes["emotion"])) <= last:
        return f"{emotion} has sentences 01 to {last}"
    return ""


def _nfc(text: str) -> str:
    """Compose letters and their accents, because file systems differ in how they store them."""
    return unicodedata.normalize("NFC", text)


# --- reading a declaration ------------------------------------------------------------------------

_FOUR = ("cremad", "ravdess", "tess", "savee")
_HOME = Path(__file__).parent / "data" / "corpora"
_FIELD = re.compile(r"\{(\w+)\}")
_TABLE_OF = {what: f"{what}s" for what in ("speaker", "emotion", "sentence", "take")}
_TABLE_OF |= {"intensity": "intensities"}
_NEEDED = ("title", "licence", "citation", "pattern", "emotions")
_KINDS: Mapping[str, type] = (
    dict.fromkeys((*_NEEDED, "name", "homepage", "kaggle", "grammar", "example", "format"), str)
    | dict.fromkeys(("emotions", "speakers", "intensities", "aliases"), dict)
    | dict.fromkeys(("sentences", "takes"), list)
    | {"clips": int, "speaker_folders": bool, "ignore_case": bool}
)
_IN_WORDS = {
    str: "a text",
    dict: "a table with a line for each code",
    list: "a list of texts",
    int: "a whole number",
    bool: "true or false",
}
_WORDS = {
    "emotions": (*LABELS, SKIP),
    "intensities": ("low", "medium", "high", "normal", "strong", ""),
}
_SEXES = ("female", "male", "")


def read_declaration(path: str | os.PathLike[str]) -> Corpus:
    """Read the file that declares a corpus, for example `mine/corpus.toml`.

    A file that is not TOML, or has a key that is missing, unknown or cannot be used, is a
    `DeclarationError`. So is one of yours that takes the name of one of the course's four.
    """
    path = Path(path)
    is_ours = path.parent == _HOME
    where = f"{path.parent.name}/{path.name}"
    try:
        values = tomllib.loads(_nfc(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DeclarationError(f"{where} cannot be opened ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML: the line is named
        raise DeclarationError(f"{where} is not TOML: {error}") from error
    try:
        return _declared(values, path.stem if is_ours else path.parent.name, is_ours)
    except SercoreError as error:
        raise DeclarationError(f"{where}: {error}") from error


def _require(good: object, message: str) -> None:
    if not good:
        raise DeclarationError(message)


def _among(word: str, choice: Iterable[str], what: str) -> None:
    _require(word in choice, f"{what} {word!r}, expected one of {', '.join(choice)}")


def _declared(values: dict[str, Any], folder: str, is_ours: bool) -> Corpus:
    for key in values:
        _among(key, _KINDS, "unknown key")
    for key in _NEEDED:
        _require(key in values, f"the key {key!r} is missing")
    for key, value in values.items():
        _check(key, value)
    name = values.get("name", folder)
    plain = re.fullmatch(r"[\w .-]+", name)
    _require(plain, f"name {name!r} has signs other than letters, digits, . _ -")
    for word in (name, folder):
        _require(
            is_ours or word not in _FOUR,
            f"{word} is one of the course's own corpora ({', '.join(_FOUR)}); choose another name",
        )
    try:
        pattern = re.compile(values["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        raise DeclarationError(f"pattern is not a regular expression: {error}") from error
    _require("emotion" in pattern.groupindex, "pattern has no named group (?P<emotion>...)")
    for group in pattern.groupindex:
        _among(group, _TABLE_OF, "pattern has an unknown group")
    template = values.pop("format", "")
    for group in _FIELD.findall(template):
        _among(group, pattern.groupindex, "format has an unknown field")
    values = {"grammar": values["pattern"], **values, "name": name, "pattern": pattern}
    values |= {key: tuple(values.get(key, ())) for key in ("sentences", "takes")}
    speakers = values.get("speakers", {})
    values["speakers"] = {code: _speaker(code, value) for code, value in speakers.items()}
    corpus = Corpus(folder=folder, template=template, **values)
    if corpus.example:
        corpus.codes(corpus.example)
    return corpus


def _check(key: str, value: Any) -> None:
    kind = _KINDS[key]
    texts = {str: [value], list: value}.get(kind, ())
    good = type(value) is kind and (value or kind is bool)
    good = good and all(isinstance(text, str) and text.strip() for text in texts)
    _require(good, f"{key} must be {_IN_WORDS[kind]}, not {value!r}")
    words = _WORDS.get(key)
    expected = "one of " + ", ".join(word or '""' for word in words) if words else "a text"
    for code, word in value.items() if kind is dict and key != "speakers" else ():
        good = word in words if words else isinstance(word, str)
        _require(good, f"{key}.{code} is {word!r}, expected {expected}")


def _speaker(code: str, value: Any) -> tuple[str, int | None]:
    line = value if isinstance(value, dict) else {"sex": value}
    sex, age = line.get("sex", ""), line.get("age")
    good = line.keys() <= {"sex", "age"} and sex in _SEXES and (age is None or type(age) is int)
    expected = 'one of female, male, "", or a table such as { sex = "female", age = 30 }'
    _require(good, f"speakers.{code} is {value!r}, expected {expected}")
    return sex, age


# --- which corpora there are ----------------------------------------------------------------------

CORPORA = {name: read_declaration(_HOME / f"{name}.toml") for name in _FOUR}
"""The four corpora of the article by the name of their folder."""

_FOLDERS = read_declaration(_HOME / "folders.toml")
FOLDER_LABELS = _FOLDERS.emotions
"""Names of folders that say their emotion without a declaration, in upper or lower case."""


def parse(path: str | PurePath) -> Labels:
    """Read the labels of a clip of one of the four corpora from its name or its path.

    The first folder in the path that has the name of a corpus decides whose grammar is used.
    Without one, all are tried, because no name follows two of them. A name that follows none is a
    `LabelError`.

    >>> parse("1001_DFA_ANG_XX.wav").emotion
    'anger'
    >>> parse("ravdess/Actor_24/03-01-08-02-01-01-24.wav").speaker
    'ravdess_24'
    """
    path = PurePath(path)
    for part in path.parts[:-1]:
        if part in CORPORA:
            return CORPORA[part].parse(path)
    for corpus in CORPORA.values():
        if path.stem in corpus.aliases or corpus.pattern.fullmatch(path.stem):
            return corpus.parse(path)
    patterns = "; ".join(f"{c.title}: {c.grammar}" for c in CORPORA.values())
    raise LabelError(f"{path.name} follows none of the corpora's patterns ({patterns})")


def corpora_in(root: str | os.PathLike[str]) -> dict[str, Corpus]:
    """Return the corpora that a data folder holds, by the name of their folder.

    A folder is a corpus if it has the name of one of `CORPORA`, holds a `corpus.toml`, or holds
    folders named after emotions (`FOLDER_LABELS`). The four come first, then the others by the
    alphabet. A folder that cannot be opened and a link that leads nowhere are no corpora. A `root`
    that cannot be opened is an `OSError`; what is wrong with a `corpus.toml`, or a name that two
    corpora have, is a `DeclarationError`.
    """
    folders = [folder for folder in folders_in(root) if is_plain(folder)]
    found = {name: CORPORA[name] for name in CORPORA if name in folders}
    for folder in folders:
        declaration = Path(root, folder, DECLARATION)
        if os.path.isfile(declaration):
            found[folder] = read_declaration(declaration)
        elif folder not in CORPORA and _has_emotion_folders(declaration.parent):
            own = {"name": _nfc(folder), "title": _nfc(folder), "licence": "", "citation": ""}
            found[folder] = replace(_FOLDERS, folder=folder, **own)
    names = [corpus.name for corpus in found.values()]
    for folder, corpus in found.items():
        problem = f"{folder}/{DECLARATION}: name {corpus.name!r} is taken by another folder"
        _require(names.count(corpus.name) == 1, f"{problem}; choose another name")
    return found


def _has_emotion_folders(folder: Path) -> bool:
    try:
        return any(name.casefold() in FOLDER_LABELS for name in folders_in(folder))
    except OSError:  # what cannot be opened cannot be recognised; `check` names it
        return False
