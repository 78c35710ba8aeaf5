"""What each corpus is, and how its file names spell their labels (chapters 1 and 2)."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import PurePath

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""The seven classes every model predicts, in the order of its outputs."""

LABELS = (*EMOTIONS, "calm")
"""All labels a clip can carry: RAVDESS alone adds calm, which the article drops."""


class LabelError(ValueError):
    """A file name that does not follow the grammar of its corpus."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a file name says about its clip.

    Attributes
    ----------
    corpus : str
        Name of the corpus, a key of `CORPORA`.
    speaker : str
        Corpus and speaker, such as `"tess_OAF"`, so that no two corpora share a speaker.
    sex : str
        `"female"` or `"male"`.
    age : int or None
        Age in years where the corpus publishes it for each speaker.
    emotion : str
        One of `LABELS`.
    intensity : str
        `"low"`, `"medium"`, `"high"`, `"normal"`, `"strong"`, or `""` where none is given.
    sentence : str
        The corpus's own code for what is said.
    """

    corpus: str
    speaker: str
    sex: str
    age: int | None
    emotion: str
    intensity: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus: what it is, where it comes from, and the grammar of its file names.

    Attributes
    ----------
    name : str
        Name of its folder, as in the article.
    title, licence, citation, homepage : str
        What to call it, what it allows, whom to cite, where it lives.
    kaggle : str
        Handle of the copy on Kaggle that the article downloads.
    clips : int
        Number of clips in a complete copy.
    grammar, example : str
        The file name's pattern in words, and one name that follows it.
    pattern : re.Pattern
        Named groups `speaker`, `sentence`, `emotion` and, where there is one, `intensity`.
    emotions, intensities : Mapping[str, str]
        From the corpus's code to the common label.
    speakers : Mapping[str, tuple[str, int | None]]
        From the corpus's speaker code to sex and age.
    aliases : Mapping[str, str]
        Misspelt speaker codes that occur, and the speaker they mean.
    """

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    kaggle: str
    clips: int
    grammar: str
    example: str
    pattern: re.Pattern[str]
    emotions: Mapping[str, str]
    speakers: Mapping[str, tuple[str, int | None]]
    intensities: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def parse(self, path: str | PurePath) -> Labels:
        """Read the labels from a file name.

        Parameters
        ----------
        path : str or PurePath
            Path or name of a clip; only its last part is read.

        Returns
        -------
        Labels

        Raises
        ------
        LabelError
            If the name does not follow the grammar, or a code in it is not one of the corpus's.
        """
        name = PurePath(path).name
        stem, suffix = PurePath(name).stem, PurePath(name).suffix
        match = self.pattern.fullmatch(stem) if suffix.lower() == ".wav" else None
        if match is None:
            raise LabelError(
                f"{name} does not follow {self.title}'s pattern {self.grammar}, "
                f"for example {self.example}"
            )
        groups = match.groupdict()
        code = self.aliases.get(groups["speaker"], groups["speaker"])
        sex, age = self._look_up("speaker", code, self.speakers, name)
        intensity = groups.get("intensity")
        return Labels(
            corpus=self.name,
            speaker=f"{self.name}_{code}",
            sex=sex,
            age=age,
            emotion=self._look_up("emotion", groups["emotion"], self.emotions, name),
            intensity=self._look_up("intensity", intensity, self.intensities, name)
            if intensity
            else "",
            sentence=groups["sentence"],
        )

    @staticmethod
    def _look_up(what: str, code: str, table: Mapping, name: str):
        if code not in table:
            raise LabelError(
                f"bad {what} code {code!r} in {name}, expected one of {_in_words(list(table))}"
            )
        return table[code]


def _in_words(codes: list[str]) -> str:
    """List codes, a long run of numbers or names shortened to its ends."""
    return ", ".join(codes) if len(codes) <= 12 else f"{codes[0]} to {codes[-1]}"


def _cremad_speakers() -> dict[str, tuple[str, int | None]]:
    table = resources.files("sercore").joinpath("data/cremad_speakers.csv")
    with table.open(encoding="utf-8", newline="") as file:
        return {
            row["ActorID"]: (row["Sex"].lower(), int(row["Age"])) for row in csv.DictReader(file)
        }


CREMAD = Corpus(
    name="cremad",
    title="CREMA-D",
    licence="Open Database License 1.0, contents under DbCL 1.0",
    citation=(
        "Cao, Cooper, Keutmann, Gur, Nenkova, Verma: CREMA-D: Crowd-sourced Emotional Multimodal "
        "Actors Dataset. IEEE Transactions on Affective Computing 5(4), 2014. "
        "doi:10.1109/TAFFC.2014.2336244"
    ),
    homepage="https://github.com/CheyneyComputerScience/CREMA-D",
    kaggle="ejlok1/cremad",
    clips=7442,
    grammar="SPEAKER_SENTENCE_EMOTION_INTENSITY.wav",
    example="1001_DFA_ANG_XX.wav",
    # One copy in circulation spells a single file 1040_ITH_SAD_X.
    pattern=re.compile(
        r"(?P<speaker>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<intensity>[A-Z]{1,2})"
    ),
    emotions={
        "ANG": "anger",
        "DIS": "disgust",
        "FEA": "fear",
        "HAP": "happiness",
        "NEU": "neutral",
        "SAD": "sadness",
    },
    intensities={"LO": "low", "MD": "medium", "HI": "high", "XX": "", "X": ""},
    speakers=_cremad_speakers(),
)

RAVDESS = Corpus(
    name="ravdess",
    title="RAVDESS",
    licence="Creative Commons BY-NC-SA 4.0",
    citation=(
        "Livingstone, Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song. "
        "PLoS ONE 13(5), 2018. doi:10.1371/journal.pone.0196391"
    ),
    homepage="https://zenodo.org/records/1188976",
    kaggle="uwrfkaggler/ravdess-emotional-speech-audio",
    clips=1440,
    grammar="03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR.wav",
    example="03-01-05-01-02-01-12.wav",
    # 03 is audio only and 01 is speech: the course uses neither the videos nor the songs.
    pattern=re.compile(
        r"03-01-(?P<emotion>\d\d)-(?P<intensity>\d\d)-(?P<sentence>\d\d)-(?P<take>\d\d)-(?P<speaker>\d\d)"
    ),
    emotions={
        "01": "neutral",
        "02": "calm",
        "03": "happiness",
        "04": "sadness",
        "05": "anger",
        "06": "fear",
        "07": "disgust",
        "08": "surprise",
    },
    intensities={"01": "normal", "02": "strong"},
    speakers={f"{i:02}": ("male" if i % 2 else "female", None) for i in range(1, 25)},
)

TESS = Corpus(
    name="tess",
    title="TESS",
    licence="Creative Commons BY-NC-ND 4.0",
    citation=(
        "Dupuis, Pichora-Fuller: Toronto emotional speech set (TESS). University of Toronto, 2010. "
        "doi:10.5683/SP2/E8H2MF"
    ),
    homepage="https://doi.org/10.5683/SP2/E8H2MF",
    kaggle="ejlok1/toronto-emotional-speech-set-tess",
    clips=2800,
    grammar="SPEAKER_WORD_EMOTION.wav",
    example="OAF_back_angry.wav",
    pattern=re.compile(r"(?P<speaker>[A-Z]{2,3})_(?P<sentence>[a-z]+)_(?P<emotion>[a-z]+)"),
    emotions={
        "angry": "anger",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happiness",
        "neutral": "neutral",
        "sad": "sadness",
        "ps": "surprise",
    },
    speakers={"OAF": ("female", 64), "YAF": ("female", 26)},
    aliases={"OA": "OAF"},
)

SAVEE = Corpus(
    name="savee",
    title="SAVEE",
    licence="research only, after registration at the University of Surrey",
    citation=(
        "Haq, Jackson: Speaker-dependent audio-visual emotion recognition. AVSP 2009; "
        "Multimodal emotion recognition. In: Machine Audition, IGI Global, 2010."
    ),
    homepage="http://kahlan.eps.surrey.ac.uk/savee/",
    kaggle="ejlok1/surrey-audiovisual-expressed-emotion-savee",
    clips=480,
    grammar="SPEAKER_EMOTIONSENTENCE.wav",
    example="DC_a01.wav",
    pattern=re.compile(r"(?P<speaker>[A-Z]{2})_(?P<sentence>(?P<emotion>[a-z]{1,2})\d\d)"),
    emotions={
        "a": "anger",
        "d": "disgust",
        "f": "fear",
        "h": "happiness",
        "n": "neutral",
        "sa": "sadness",
        "su": "surprise",
    },
    speakers={code: ("male", None) for code in ("DC", "JE", "JK", "KL")},
)

CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in (CREMAD, RAVDESS, TESS, SAVEE)}
"""The four corpora of the article by the name of their folder."""


def parse(path: str | PurePath) -> Labels:
    """Read the labels of a clip of any of the four corpora from its path.

    The first part of the path that names a corpus decides whose grammar is used; without one, the
    grammars, which no name can follow two of, are tried in turn.

    Parameters
    ----------
    path : str or PurePath
        For example `"tess/OAF_angry/OAF_back_angry.wav"`, or a bare file name.

    Returns
    -------
    Labels

    Raises
    ------
    LabelError
        If the name follows none of the grammars.

    Examples
    --------
    >>> parse("1001_DFA_ANG_XX.wav").emotion
    'anger'
    >>> parse("03-01-08-02-01-01-24.wav").speaker
    'ravdess_24'
    """
    path = PurePath(path)
    for part in path.parts[:-1]:
        if part in CORPORA:
            return CORPORA[part].parse(path)
    matching = [corpus for corpus in CORPORA.values() if corpus.pattern.fullmatch(path.stem)]
    if not matching:
        patterns = "; ".join(f"{c.title}: {c.grammar}" for c in CORPORA.values())
        raise LabelError(f"{path.name} follows none of the corpora's patterns ({patterns})")
    return matching[0].parse(path)
