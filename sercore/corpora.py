"""What each corpus is, and how its file names spell their labels (chapters 1 and 2)."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Mapping
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
    name : str
        The file name as the corpus spells it: two misspelt ones come back right.
    corpus : str
        Name of the corpus, a key of `CORPORA` or the name of an added one.
    speaker : str
        Corpus and speaker, such as `"tess_OAF"`, so that no two corpora share a speaker; `""` where
        an added corpus does not say.
    sex : str
        `"female"`, `"male"`, or `""` where it is not known.
    age : int or None
        Age in years where the corpus publishes it for each speaker.
    emotion : str
        One of `LABELS`; in an added corpus also `"skip"`.
    intensity : str
        `"low"`, `"medium"`, `"high"`, `"normal"`, `"strong"`, or `""` where none is given.
    sentence : str
        The corpus's own code for what is said; `""` where an added corpus does not say.
    """

    name: str
    corpus: str
    speaker: str
    sex: str
    age: int | None
    emotion: str
    intensity: str
    sentence: str


def _any_combination(codes: Mapping[str, str]) -> str:
    """Find nothing wrong with how codes go together."""
    return ""


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
        Named groups `speaker`, `sentence`, `emotion` and, where there are such, `intensity` and
        `take`.
    template : str
        The name that the pattern takes apart, without `.wav`: a field for each group.
    emotions, intensities : Mapping[str, str]
        From the corpus's code to the common label.
    speakers : Mapping[str, tuple[str, int | None]]
        From the corpus's speaker code to sex and age.
    sentences, takes : tuple[str, ...]
        The codes there are, where a list says it all.
    rule : callable
        From the codes of a name to what is wrong with them together; `""` if nothing is.
    aliases : Mapping[str, str]
        Misspelt names that occur, without `.wav`, and the name that is meant.
    speaker_folders : bool
        Whether a copy is in circulation whose speaker is the folder and not in the file name.
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
    template: str
    emotions: Mapping[str, str]
    speakers: Mapping[str, tuple[str, int | None]]
    intensities: Mapping[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    rule: Callable[[Mapping[str, str]], str] = _any_combination
    aliases: Mapping[str, str] = field(default_factory=dict)
    speaker_folders: bool = False

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
        codes = self.codes(path)
        sex, age = self.speakers[codes["speaker"]]
        return Labels(
            name=self.format(codes),
            corpus=self.name,
            speaker=f"{self.name}_{codes['speaker']}",
            sex=sex,
            age=age,
            emotion=self.emotions[codes["emotion"]],
            intensity=self.intensities[codes["intensity"]] if "intensity" in codes else "",
            sentence=codes["sentence"],
        )

    def codes(self, path: str | PurePath) -> dict[str, str]:
        """Take a file name apart into the corpus's own codes.

        Parameters
        ----------
        path : str or PurePath
            Path or name of a clip. Only its last part is read, and its folder where the corpus has
            `speaker_folders`. Unicode may be composed or not; upper and lower case differ, but for
            the ending `.wav`.

        Returns
        -------
        dict
            A code for each field of `template`.

        Raises
        ------
        LabelError
            If the name does not follow the grammar, or a code in it is not one of the corpus's.
        """
        path = PurePath(path)
        name = unicodedata.normalize("NFC", path.name)
        is_wav = name[-4:].lower() == ".wav"
        stem = self.aliases.get(name[:-4], name[:-4])
        if self.speaker_folders and path.parent.name in self.speakers and "_" not in stem:
            stem = f"{path.parent.name}_{stem}"
        match = self.pattern.fullmatch(stem) if is_wav else None
        if match is None:
            raise LabelError(
                f"{name} does not follow {self.title}'s pattern {self.grammar}, "
                f"for example {self.example}"
            )
        codes = match.groupdict()
        known = {
            "speaker": self.speakers,
            "emotion": self.emotions,
            "intensity": self.intensities,
            "sentence": self.sentences,
            "take": self.takes,
        }
        for what, code in codes.items():
            if known[what] and code not in known[what]:
                raise LabelError(
                    f"bad {what} code {code!r} in {name}, "
                    f"expected one of {_in_words(list(known[what]))}"
                )
        if problem := self.rule(codes):
            raise LabelError(f"bad combination in {name}: {problem}")
        return codes

    def format(self, codes: Mapping[str, str]) -> str:
        """Put codes together into a file name, the inverse of `codes`.

        Parameters
        ----------
        codes : Mapping[str, str]
            A code for each field of `template`.

        Returns
        -------
        str
            The name, with `.wav`.

        Raises
        ------
        KeyError
            If a field has no code.
        """
        return f"{self.template.format_map(codes)}.wav"


def _in_words(codes: list[str]) -> str:
    """List codes, a long run of numbers or names shortened to its ends."""
    return ", ".join(codes) if len(codes) <= 12 else f"{codes[0]} to {codes[-1]}"


def _cremad_rule(codes: Mapping[str, str]) -> str:
    graded = codes["sentence"] == "IEO" and codes["emotion"] != "NEU"
    if graded == (codes["intensity"] != "XX"):
        return ""
    return "sentence IEO has LO, MD or HI in all emotions but NEU, and everything else has XX"


def _ravdess_rule(codes: Mapping[str, str]) -> str:
    strong_neutral = codes["emotion"] == "01" and codes["intensity"] == "02"
    return "neutral (01) has no strong intensity (02)" if strong_neutral else ""


def _savee_rule(codes: Mapping[str, str]) -> str:
    last = 30 if codes["emotion"] == "n" else 15
    number = int(codes["sentence"].removeprefix(codes["emotion"]))
    return "" if 1 <= number <= last else f"{codes['emotion']} has sentences 01 to {last}"


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
    pattern=re.compile(
        r"(?P<speaker>[0-9]{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<intensity>[A-Z]{2})"
    ),
    template="{speaker}_{sentence}_{emotion}_{intensity}",
    emotions={
        "ANG": "anger",
        "DIS": "disgust",
        "FEA": "fear",
        "HAP": "happiness",
        "NEU": "neutral",
        "SAD": "sadness",
    },
    intensities={"LO": "low", "MD": "medium", "HI": "high", "XX": ""},
    speakers=_cremad_speakers(),
    # fmt: off
    sentences=(
        "DFA",
        "IEO",
        "IOM",
        "ITH",
        "ITS",
        "IWL",
        "IWW",
        "MTI",
        "TAI",
        "TIE",
        "TSI",
        "WSI",
    ),
    # fmt: on
    rule=_cremad_rule,
    # Older copies lost a letter in this one name.
    aliases={"1040_ITH_SAD_X": "1040_ITH_SAD_XX"},
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
        r"03-01-(?P<emotion>[0-9]{2})-(?P<intensity>[0-9]{2})"
        r"-(?P<sentence>[0-9]{2})-(?P<take>[0-9]{2})-(?P<speaker>[0-9]{2})"
    ),
    template="03-01-{emotion}-{intensity}-{sentence}-{take}-{speaker}",
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
    sentences=("01", "02"),
    takes=("01", "02"),
    rule=_ravdess_rule,
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
    pattern=re.compile(r"(?P<speaker>[A-Z]{3})_(?P<sentence>[a-z]+)_(?P<emotion>[a-z]+)"),
    template="{speaker}_{sentence}_{emotion}",
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
    # A slip of the makers, in every copy.
    aliases={"OA_bite_neutral": "OAF_bite_neutral"},
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
    pattern=re.compile(r"(?P<speaker>[A-Z]{2})_(?P<sentence>(?P<emotion>[a-z]{1,2})[0-9]{2})"),
    template="{speaker}_{sentence}",
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
    rule=_savee_rule,
    # The makers' own archive has a folder for each speaker: DC/a01.wav.
    speaker_folders=True,
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
    stem = path.stem
    for corpus in CORPORA.values():
        if stem in corpus.aliases or corpus.pattern.fullmatch(stem):
            return corpus.parse(path)
    patterns = "; ".join(f"{c.title}: {c.grammar}" for c in CORPORA.values())
    raise LabelError(f"{path.name} follows none of the corpora's patterns ({patterns})")
