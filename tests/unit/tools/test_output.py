"""Pages: the same calls make plain text in a pipe and tables on a terminal."""

import io

from smpmm_tools import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_plain_table_is_aligned() -> None:
    stream = io.StringIO()
    page = output.Page(stream)
    page.table((output.left("lock"), output.right("waits")), [("zone", "7"), ("a", "1,234")])
    assert stream.getvalue() == "lock  waits\n----  -----\nzone      7\na     1,234\n"


def test_a_pipe_gets_no_escape_sequence() -> None:
    stream = io.StringIO()
    page = output.page(stream)
    page.heading("Verdict")
    page.line("FAILED", "bad")
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_colours_unless_no_color_is_set(monkeypatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for no_color, coloured in ((None, True), ("1", False)):
        if no_color:
            monkeypatch.setenv("NO_COLOR", no_color)
        stream = Terminal()
        output.page(stream).line("FAILED", "bad")
        assert ("\x1b[1;31m" in stream.getvalue()) == coloured


def test_text_in_brackets_is_no_markup() -> None:
    stream = Terminal()
    output.page(stream).line("[bold]scull [module]")
    assert "[bold]scull [module]" in stream.getvalue()


def test_units_suit_the_value() -> None:
    times = [output.time_text(ns) for ns in (0, 999, 1500, 2_340_000, 1.5e9)]
    assert times == ["0 ns", "999 ns", "1.50 us", "2.34 ms", "1.50 s"]
    assert [output.bytes_text(n) for n in (12, 2048, 3 << 20)] == [
        "12 B",
        "2.0 KiB",
        "3.0 MiB",
    ]
    assert [output.plural(n, "leak") for n in (0, 1, 2)] == ["0 leaks", "1 leak", "2 leaks"]


def test_progress_is_silent_in_a_pipe(capsys) -> None:
    with output.Progress("stress", 10) as bar:
        bar.show(5, "half")
        assert not bar.visible
    assert capsys.readouterr() == ("", "")
