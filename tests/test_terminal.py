"""A log becomes lines that hold text and colours, nothing else, however it is cut and written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anylearn_jupyter.notebook.ansi import Style, plain, spans, static_html
from anylearn_jupyter.notebook.terminal import MAX_LINE, TerminalText, size_text

# What a view may be given: printable characters, tabs and colour sequences.
ALPHABET = re.compile(
    r"(?:[^\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    r"|\x1b\[[0-9;:]*m)*"
)


def lines(text: str) -> list[str]:
    """What a finished log shows."""
    terminal = TerminalText()
    return [*terminal.feed(text), *terminal.close()]


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("one\n\n\nfour", ["one", "", "", "four"]),
        ("a\tb\n", ["a\tb"]),
        (" 10%\r 50%\r100%\ndone\n", ["100%", "done"]),
        ("100%\r\n", ["100%"]),
        ("100%\r\r\r\n", ["100%"]),
        ("long bar\rb\n", ["b"]),
        ("Loading |\b/\b-\n", ["Loading -"]),
        ("abc\b \b\n", ["ab"]),
        ("x" * 5 + "\b" * 80 + "\rnew\n", ["new"]),
        ("\b\b\bnothing to take\n", ["nothing to take"]),
        ("wiped\r\x1b[2Knew\n", ["new"]),
        ("\x1b[2J\x1b[1;1Hup\x1b[3A\n", ["up"]),
        ("\x1b]0;a title\x07text\n", ["text"]),
        ("\x1b]52;c;aGVsbG8=\x1b\\text\n", ["text"]),
        ("\x1b]8;;https://evil.example/\x07link\x1b]8;;\x07\n", ["link"]),
        ("\x1b]8;;never ended\nnext\n", ["", "next"]),
        ("\x1bP1$q\x1b\\text\x1b_x\x1b\\\n", ["text"]),
        ("\x9d0;title\x9ctext\x9b31mred\n", ["textred"]),
        ("a\x00b\x07c\x7fd\x85e\n", ["abcde"]),
        ("safe \u202eelif\u202c\n", ["safe elif"]),
        ("half \ud800\n", ["half \ufffd"]),
        ("\x1b", []),
        ("\x1b[31", []),
        ("\x1b[38;5;1mred\n", ["\x1b[38;5;1mred"]),
    ],
)
def test_lines_as_a_terminal_shows_them(log: str, shown: list[str]) -> None:
    assert lines(log) == shown


def test_colours_go_on_in_the_next_line_until_they_are_switched_off() -> None:
    shown = lines("\x1b[1;31mone\ntwo\x1b[0m\nthree\n")
    assert [plain(line) for line in shown] == ["one", "two", "three"]
    red = Style(color="1", bold=True)
    assert spans(shown[0]) == [("one", red)]
    assert spans(shown[1]) == [("two", red)]
    assert shown[2] == "three"


def test_colours_of_a_rewritten_part_still_count() -> None:
    (line,) = lines("\x1b[32m10%\r20%\n")
    assert spans(line) == [("20%", Style(color="2"))]


def test_an_open_line_is_readable_and_its_bar_is_one_line() -> None:
    terminal = TerminalText()
    assert terminal.feed("start\n 10%") == ["start"]
    assert terminal.open_line == " 10%"
    for percent in range(11, 100):
        assert terminal.feed(f"\r {percent}%") == []
        assert terminal.open_line == f" {percent}%"
    assert terminal.feed("\n") == [" 99%"]
    assert terminal.open_line == ""
    assert terminal.between_lines


def test_reports_of_metrics_are_hidden_also_while_they_arrive() -> None:
    terminal = TerminalText()
    report = '[anylearn-metric] {"loss": 1}\n'
    shown: list[str] = []
    for character in f"before\n{report}after\n{report}":
        shown += terminal.feed(character)
        assert "metric" not in terminal.open_line
    assert shown == ["before", "after"]
    assert terminal.feed("[any") == []
    assert terminal.open_line == "[any"
    assert terminal.close() == ["[any"]
    assert lines(report.strip()) == []


def test_a_very_long_line_is_cut_with_a_note_and_costs_no_memory() -> None:
    terminal = TerminalText()
    for _ in range(40):
        assert terminal.feed("x" * 250_000) == []
        assert len(terminal.open_line) < MAX_LINE + 100
    (line,) = terminal.feed("\nnext")
    assert plain(line).startswith("xxx")
    assert plain(line).endswith("x … 10.0 MB cut")
    assert terminal.open_line == "next"


def test_a_cut_never_falls_within_a_colour_sequence() -> None:
    for more in range(12):
        (line,) = lines("y" * (MAX_LINE - more) + "\x1b[31;42;1mred\n")
        assert ALPHABET.fullmatch(line), more


def test_nested_colours_are_capped() -> None:
    (line,) = lines("".join(f"\x1b[{30 + n % 8}mx" for n in range(5000)) + "\n")
    assert line.count("\x1b") <= 401
    assert len(spans(line)) <= 200
    assert plain(line) == "x" * 5000


def test_the_same_lines_however_the_text_is_cut() -> None:
    text = (
        "one\r\n\x1b[1;38;2;10;20;30mtwo\x1b]8;;x\x1b\\link\x1b]8;;\x1b\\\n 1%\r 2%\r\n"
        "[anylearn-metric] {}\nspin |\b/\x1b[0m\n\x1b[31mend"
    )
    whole = lines(text)
    for size in range(1, 12):
        terminal = TerminalText()
        found: list[str] = []
        for at in range(0, len(text), size):
            found += terminal.feed(text[at : at + size])
        assert found + terminal.close() == whole, size


def test_a_million_returns_are_cheap() -> None:
    terminal = TerminalText()
    assert terminal.feed("bar\r" * 1_000_000) == []
    assert terminal.open_line == "bar"


HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            [
                "\x1b",
                "\x1b[",
                "\x1b]",
                "\x1bP",
                "\x9b",
                "\x9d",
                "\x9c",
                "\x07",
                "\x1b\\",
                "\r",
                "\n",
            ]
        ),
        st.sampled_from(["\x1b[31m", "\x1b[38;5;200m", "\x1b[0m", "\b", "\x1b[2K", "\x1b[;m", "m"]),
        st.characters(max_codepoint=0xFF),
        st.sampled_from(["\ud83d", "\u202e", "\u2066", "\u2028", "<script>"]),
    ),
    max_size=40,
)


@given(HOSTILE, st.integers(1, 7))
def test_nothing_but_text_and_colours_comes_out(parts: list[str], size: int) -> None:
    text = "".join(parts)
    terminal = TerminalText()
    shown: list[str] = []
    for at in range(0, len(text), size):
        shown += terminal.feed(text[at : at + size])
        assert ALPHABET.fullmatch(terminal.open_line)
    shown += terminal.close()
    for line in shown:
        assert ALPHABET.fullmatch(line)
        assert "<script" not in static_html(line)


@given(HOSTILE, st.integers(1, 7))
def test_lines_are_the_same_however_hostile_text_is_cut(parts: list[str], size: int) -> None:
    """Whole lines with colours are read in a quicker way, which may not be another one."""
    text = "".join(parts)
    terminal = TerminalText()
    found: list[str] = []
    for at in range(0, len(text), size):
        found += terminal.feed(text[at : at + size])
    assert [spans(line) for line in found + terminal.close()] == [spans(one) for one in lines(text)]


def test_static_html_escapes_the_text_and_makes_its_own_colours() -> None:
    (line,) = lines("\x1b[31m<img src=x onerror=alert(1)>\x1b[0m & done\n")
    written = static_html(line)
    assert written == (
        '<span style="color:#d32f3b">&lt;img src=x onerror=alert(1)&gt;</span> &amp; done'
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9900000, "9.9 MB"),
        (99960, "100 kB"),
        (999999, "1.0 MB"),
        (5000000000000, "5000 GB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text
