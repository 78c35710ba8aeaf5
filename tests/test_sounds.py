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


def shown(player: Player) -> tuple[dict, dict]:
    """What a notebook keeps of a player: its texts by type, and their metadata."""
    return DisplayFormatter().format(player)


def test_a_player_plays_the_sound_at_its_own_level():
    page = shown(Player(TONE, RATE, name="a tone"))[0]["text/html"]
    (found,) = re.findall(r"data:audio/flac;base64,([^\"]+)", page)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(found)))
    assert rate == RATE
    np.testing.assert_allclose(samples, TONE, atol=1 / 32768)


@pytest.mark.parametrize(("own", "about"), [(True, OWN), (False, {})])
def test_a_player_says_what_is_heard_and_whose_it_is(own, about):
    texts, metadata = shown(Player(TONE, RATE, name="a tone of 440 Hz", own=own))
    assert (texts["text/plain"], metadata) == ("(a player: a tone of 440 Hz)", about)


NOISE = np.random.default_rng(0).uniform(-1, 1, 5 * RATE)


@pytest.mark.parametrize(
    ("samples", "own", "reason"),
    [
        (TONE * 5, False, "peak of 1.25"),
        (np.full(9, np.nan), False, "peak of nan"),
        (np.zeros((2, 9)), False, r"shape \(2, 9\)"),
        (np.zeros(9, np.int16), False, "int16"),
        (np.zeros(0), False, r"shape \(0,\)"),
        (NOISE, True, "play less of it"),
    ],
)
def test_a_sound_that_cannot_be_played_as_it_is_is_refused(samples, own, reason):
    with pytest.raises(SoundError, match=f"a noise.*{reason}"):
        Player(samples, RATE, name="a noise", own=own)


def test_an_example_is_demo_speech_that_a_player_takes():
    loud, rate = example("anger")
    soft, _ = example("sadness")
    assert rate == RATE and np.abs(loud).std() > np.abs(soft).std() > 0
    Player(loud, rate, name="demo speech, anger", own=True)


def test_an_example_of_an_unknown_emotion_is_refused():
    with pytest.raises(DemoError, match="'joy'; there is anger, calm"):
        example("joy")
