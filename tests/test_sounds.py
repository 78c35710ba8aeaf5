"""Players: they play what they are given, at its level, and say what it is."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from IPython.core.formatters import DisplayFormatter

from sercore.demo.render import example
from sercore.demo.speak import DemoError
from sercore.sounds import OWN, Player, SoundError

RATE = 16_000
TONE = 0.25 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
NOISE = np.random.default_rng(0).uniform(-1, 1, 5 * RATE)


def shown(player: Player) -> tuple[dict, dict]:
    """What a notebook keeps of a player: its texts by type, and their metadata."""
    return DisplayFormatter().format(player)


def test_a_player_plays_the_sound_at_its_own_level():
    page = shown(Player(TONE, RATE, name="a tone"))[0]["text/html"]
    (found,) = re.findall(r'<audio [^>]*src="data:audio/flac;base64,([^"]+)"', page)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(found)))
    assert rate == RATE
    np.testing.assert_allclose(samples, TONE, atol=1 / 32768)


@pytest.mark.parametrize(("own", "about"), [(True, OWN), (False, {})])
def test_a_player_says_what_is_heard_and_whose_it_is(own, about):
    texts, metadata = shown(Player(TONE, RATE, name="a tone <440 Hz>", own=own))
    assert (texts["text/plain"], metadata) == ("(a player: a tone <440 Hz>)", about)
    label = 'aria-label="a tone &lt;440 Hz&gt;"'
    assert label in texts["text/html"] and "<figcaption>a tone &lt;" in texts["text/html"]


def test_a_voice_may_be_longer_than_an_own_sound():
    with pytest.raises(SoundError, match="play less of it"):
        Player(NOISE, RATE, name="a noise", own=True)
    Player(NOISE, RATE, name="a voice")


@pytest.mark.parametrize("kind", ["float16", "float32", "longdouble"])
def test_a_player_takes_every_kind_of_float_and_of_rate(kind):
    Player(TONE.astype(kind), 44_100.0, name="a tone")


@pytest.mark.parametrize("rate", [0, 10**6, None, "16000", float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(SoundError, match="a tone: the rate"):
        Player(TONE, rate, name="a tone")


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 201])
def test_a_name_that_would_be_lost_is_refused(name):
    with pytest.raises(SoundError, match="name"):
        Player(TONE, RATE, name=name)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (TONE * 5, "peak of 1.25"),
        (np.full(9, np.nan), "peak of nan"),
        (np.zeros((2, 9)), r"shape \(2, 9\)"),
        (np.zeros(9, np.int16), "int16"),
        (np.zeros(0), r"shape \(0,\)"),
    ],
)
def test_a_sound_that_cannot_be_played_as_it_is_is_refused(samples, reason):
    with pytest.raises(SoundError, match=f"a noise.*{reason}"):
        Player(samples, RATE, name="a noise")


def test_an_example_is_demo_speech_that_a_player_takes():
    loud, rate = example("anger")
    soft, _ = example("sadness")
    assert rate == RATE and np.abs(loud).std() > np.abs(soft).std() > 0
    Player(loud, rate, name="demo speech, anger", own=True)


def test_an_example_of_an_unknown_emotion_is_refused():
    with pytest.raises(DemoError, match="'joy'; there is anger, calm"):
        example("joy")
