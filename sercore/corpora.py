"""What each corpus is, and how its file names spell their labels (chapters 1 and 2).

A TOML file declares a corpus: the four of the article in `sercore/data/corpora/`, your own with the
same keys in `corpus.toml` in its folder. Folders named after emotions need no declaration.
"""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from sercore.config import SercoreError
from sercore.store.scan import is_plain

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""The seven classes every model predicts, in the order of its outputs."""

LABELS = (*EMOTIONS, "calm")
"""All labels a clip can carry. Only RAVDESS has calm, which the article drops."""

SKIP = "skip"
"""In place of a label: clips with this code are counted and left out."""

DECLARATION = "corpus.toml"
"""The file that declares a corpus of your own, in its folder."""


# Letters and their accents are composed, because file systems differ in how they store them.
_nfc = partial(unicodedata.normalize, "NFC")


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


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus: what it is, where it comes from, and the grammar of its file names.

    The fields are the keys of a declaration, which `sercore/data/corpora/example.toml` explains,
    and `folder`, its folder in the data folder. `template` is the key `format`. From a speaker's
    code, `speakers` leads to sex and age in years. `clips` is 0 if their number is not known.
    """

    name: str
    title: str
    licence: str
    citation: str
    folder: str
    pattern: re.Pattern[str]
    grammar: str
    emotions: Mapping[str, str]
    speakers: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    intensities: Mapping[str, str] = field(default_factory=dict)
    sentences: Sequence[str] = ()
    takes: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    example: str = ""
    speaker_folders: bool = False
    ignore_case: bool = False
    homepage: str = ""
    kaggle: str = ""
    clips: int = 0

    def parse(self, path: str | PurePath) -> Labels:
        """Read the labels of a clip from its name, or from its path as the manifest has it."""
        codes = self.codes(path)
        speaker, intensity = codes.get("speaker", ""), codes.get("intensity", "")
        sex, age = self.speakers.get(speaker, ("", None))
        name = self._match(path)[1].string.rsplit("/", 1)[-1]
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

        A name that does not follow the pattern, or has an unknown code in it, is a `LabelError`.
        """
        written, match = self._match(path)
        codes = {what: code or "" for what, code in match.groupdict().items()}
        if self.ignore_case:
            codes["emotion"] = codes["emotion"].casefold()
        for what, code in codes.items():
            known = getattr(self, _TABLE_OF[what])
            # What is not declared may be anything, and a group may be empty where it is optional.
            if code not in known and (what == "emotion" or (known and code)):
                choice, own = ", ".join(known), self.name not in _COURSE
                if len(known) > 12 and not own:
                    choice = f"{min(known)} to {max(known)}"
                choice += f"; {self.folder}/{DECLARATION} can add it" * own
                problem = f"bad {what} code {match[what]!r} in {written}"
                raise LabelError(f"{problem}, expected one of {choice}")
        if problem := _bad_combination(self.name, codes):
            raise LabelError(f"bad combination in {written}: {problem}")
        return codes

    def format(self, codes: Mapping[str, str]) -> str:
        """Put codes together into a file name, the inverse of `codes`; each field needs a code."""
        return _FIELD.sub(lambda found: codes[found[1]], self.template) + ".wav"

    def _match(self, path: str | PurePath) -> tuple[str, re.Match[str]]:
        """Return the part of a path that the pattern describes, and how the pattern matches it."""
        path = PurePath(path)
        below = path.as_posix().removeprefix(f"{self.folder}/")
        written = _nfc(below if "/" in self.pattern.pattern else path.name)
        stem = self.aliases.get(written[:-4], written[:-4])
        match = self.pattern.fullmatch(stem)
        if match is None and self.speaker_folders and path.parent.name in self.speakers:
            match = self.pattern.fullmatch(f"{path.parent.name}_{stem}")
        if match is None or written[-4:].lower() != ".wav":
            grammar = self.grammar + f", for example {self.example}" * bool(self.example)
            raise LabelError(f"{written} does not follow {self.title}'s pattern {grammar}")
        return written, match


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


# --- reading a declaration ------------------------------------------------------------------------

_COURSE = ("cremad", "ravdess", "tess", "savee")
_HOME = Path(__file__).parent / "data" / "corpora"
_FIELD = re.compile(r"\{(\w+)\}")
_TABLE_OF = {what: f"{what}s" for what in ("speaker", "emotion", "sentence", "take")}
_TABLE_OF |= {"intensity": "intensities"}
_EXAMPLE = tomllib.loads((_HOME / "example.toml").read_text(encoding="utf-8"))  # has all keys
_KIND = {str: "a text", int: "a number", bool: "true or false", list: "a list", dict: "a table"}
_WORDS: dict[str, tuple[str, ...]] = {"emotions": (*LABELS, SKIP)}
_WORDS |= {"intensities": ("low", "medium", "high", "normal", "strong", "")}


def read_declaration(path: str | os.PathLike[str]) -> Corpus:
    """Read the file that declares a corpus, for example `mine/corpus.toml`.

    A file that is not TOML, has a key that cannot be used, or takes the name of one of the course's
    own corpora, is a `DeclarationError`.
    """
    path = Path(path)
    is_ours = path.parent == _HOME
    where = f"{path.parent.name}/{path.name}"
    try:
        values = tomllib.loads(_nfc(path.read_text(encoding="utf-8")))
        return _declared(values, path.stem if is_ours else path.parent.name, is_ours)
    except OSError as error:
        raise DeclarationError(f"{where} cannot be opened ({error.strerror})") from error
    except SercoreError as error:
        raise DeclarationError(f"{where}: {error}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML: the line is named
        raise DeclarationError(f"{where} is not TOML: {error}") from error


def _require(good: object, message: str) -> None:
    if not good:
        raise DeclarationError(message)


def _among(word: str, choice: Iterable[str], what: str) -> None:
    _require(word in choice, f"{what} {word!r}, expected one of {', '.join(choice)}")


def _declared(values: dict[str, Any], folder: str, is_ours: bool) -> Corpus:
    for key in values:
        _among(key, _EXAMPLE, "unknown key")
    for key in ("title", "licence", "citation", "pattern", "emotions"):
        _require(key in values, f"the key {key!r} is missing")
    for key, value in values.items():
        _check(key, value)
    name = _nfc(values.pop("name", folder))
    plain = re.fullmatch(r"[\w .-]+", name)
    _require(plain, f"name {name!r} has signs other than letters, digits, . _ -")
    for word in () if is_ours else (name, folder):
        taken = f"{word} is one of the course's own corpora ({', '.join(_COURSE)})"
        _require(word not in _COURSE, f"{taken}; choose another name")
    try:
        pattern = re.compile(values["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        raise DeclarationError(f"pattern is not a regular expression: {error}") from error
    _require("emotion" in pattern.groupindex, "pattern has no named group (?P<emotion>...)")
    for group in pattern.groupindex:
        _among(group, _TABLE_OF, "pattern has an unknown group")
    for group in _FIELD.findall(values.setdefault("format", "")):
        _among(group, pattern.groupindex, "format has an unknown field")
    speakers = {code: _speaker(code, value) for code, value in values.get("speakers", {}).items()}
    values = {"grammar": values["pattern"]} | values | {"pattern": pattern, "speakers": speakers}
    corpus = Corpus(name=name, folder=folder, template=values.pop("format"), **values)
    if corpus.example:
        corpus.codes(corpus.example)
    return corpus


def _check(key: str, value: Any) -> None:
    kind = type(_EXAMPLE[key])
    good = type(value) is kind and (value.strip() if kind is str else value or kind is bool)
    _require(good, f"{key} must be {_KIND[kind]}, not {value!r}")
    words = _WORDS.get(key)
    expected = "one of " + ", ".join(word or '""' for word in words) if words else "a text"
    entries = dict(enumerate(value, 1)) if kind is list else value if kind is dict else {}
    for code, word in entries.items() if key != "speakers" else ():
        good = word in words if words else isinstance(word, str)
        _require(good, f"{key}.{code} is {word!r}, expected {expected}")


def _speaker(code: str, value: Any) -> tuple[str, int | None]:
    line = {"sex": "", "age": None} | (value if isinstance(value, dict) else {"sex": value})
    sex, age, *others = line.values()
    good = sex in ("female", "male", "") and (age is None or type(age) is int) and not others
    expected = 'one of female, male, "" or, for example, { sex = "female", age = 30 }'
    _require(good, f"speakers.{code} is {value!r}, expected {expected}")
    return sex, age


CORPORA = {name: read_declaration(_HOME / f"{name}.toml") for name in _COURSE}
"""The four corpora of the article by the name of their folder."""

_FOLDERS = read_declaration(_HOME / "folders.toml")


def parse(path: str | PurePath) -> Labels:
    """Read the labels of a clip of one of the four corpora from its name or its path.

    The first folder with the name of a corpus decides whose grammar is used. Without one, all are
    tried, because no name follows two of them. A name that follows none is a `LabelError`.

    >>> parse("1001_DFA_ANG_XX.wav").emotion
    'anger'
    """
    path = PurePath(path)
    named = [CORPORA[part] for part in path.parts[:-1] if part in CORPORA]
    for corpus in named[:1] or CORPORA.values():
        if named or path.stem in corpus.aliases or corpus.pattern.fullmatch(path.stem):
            return corpus.parse(path)
    patterns = "; ".join(f"{c.title}: {c.grammar}" for c in CORPORA.values())
    raise LabelError(f"{path.name} follows none of the corpora's patterns ({patterns})")


def corpora_in(root: str | os.PathLike[str]) -> dict[str, Corpus]:
    """Return the corpora that a data folder holds, by the name of their folder.

    A folder is a corpus if it is named like one of `CORPORA`, or has a `corpus.toml` or folders
    named after emotions (`data/corpora/folders.toml`) in it. The four come first. Links that lead
    nowhere and folders that cannot be opened are passed over; if `root` is one, that is an
    `OSError`.
    """
    visible = sorted(name for name in os.listdir(root) if name[0] != "." and is_plain(name))
    folders = [name for name in visible if os.path.isdir(Path(root, name))]
    found = {name: CORPORA[name] for name in CORPORA if name in folders}
    for folder in folders:
        if os.path.isfile(Path(root, folder, DECLARATION)):
            found[folder] = read_declaration(Path(root, folder, DECLARATION))
            continue
        # Of a folder that cannot be opened, os.walk tells nothing; `check` names it.
        _, below, _ = next(os.walk(Path(root, folder)), ("", [], []))
        if folder not in CORPORA and any(name.casefold() in _FOLDERS.emotions for name in below):
            own = replace(_FOLDERS, name=_nfc(folder), title=_nfc(folder), folder=folder)
            found[folder] = replace(own, licence="", citation="")
    names = [corpus.name for corpus in found.values()]
    for folder, corpus in found.items():
        problem = f"{folder}/{DECLARATION}: name {corpus.name!r} is taken by another folder"
        _require(names.count(corpus.name) == 1, f"{problem}; choose another name")
    return found
