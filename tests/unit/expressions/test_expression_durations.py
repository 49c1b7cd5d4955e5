import pytest

from agentctl.expressions.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1w", 604800),
        ("1h30m", 5400),
        ("1m500ms", 60.5),
        ("1.5h", 5400),
        (" 0s ", 0),
        ("PT90S", 90),
        ("P1DT2H", 93600),
        ("PT1H30M", 5400),
        ("P2W", 1209600),
        ("PT0.5S", 0.5),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("30", "30 has no unit; write 30s"),
        ("1.5", "has no unit"),
        ("-5s", "cannot be negative"),
        ("5 s", "no duration"),
        ("5x", "no duration"),
        ("1h 30m", "no duration"),
        ("5S", "no duration"),
        ("1m1m", "a unit twice"),
        ("P1M", "no fixed length"),
        ("P1Y2D", "no fixed length"),
        ("P", "no ISO 8601 duration"),
        ("PT", "no ISO 8601 duration"),
        ("P1DT", "no ISO 8601 duration"),
        ("PT5", "no ISO 8601 duration"),
        ("٣s", "no duration"),
        ("9" * 50 + "w", "hundred years"),
        ("1s" * 100, "no duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_duration(text)


def test_a_number_is_no_duration() -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(30)  # type: ignore[arg-type]  # what a YAML file may hold


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.35, "350ms"),
        (0.9999, "1s"),
        (4.23, "4.2s"),
        (59.99, "1m"),
        (80, "1m 20s"),
        (3600, "1h"),
        (7500, "2h 5m"),
        (273600, "3d 4h"),
        (-80, "-1m 20s"),
    ],
)
def test_a_duration_is_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
