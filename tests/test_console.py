import os
import subprocess
import sys

import pytest

from flood_seg.console import fail, say, show_table, warn


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x1b[31mb", "a\x85b", "a\u2028b", "a\u202eb", "a\udce9b"])
def test_a_name_never_breaks_or_colours_a_line(name, capsys):
    for write in (say, warn, fail):
        write(f"{name}: done")
    show_table(name, ["image"], [[name]])
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 7 and len(err.splitlines()) == 2  # a line, and a table of six
    assert name not in out + err
    assert "a" + repr(name[1:-1])[1:-1] + "b: done" in out


def test_several_lines_are_several_lines(capsys):
    say("a", "b")
    assert capsys.readouterr().out == "a\nb\n"


def test_a_very_long_word_keeps_its_ends_and_the_rest_of_the_error_stays(capsys):
    fail(f"--image {'x' * 500}{'y' * 500}: no such file")
    line = capsys.readouterr().err
    assert line.startswith("flood-seg: error: --image xxx") and line.endswith("yyy: no such file\n")
    assert "…(1001 characters)…" in line and len(line) < 270


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminal")
def test_a_live_line_is_of_the_terminal_and_results_go_where_stdout_goes():
    code = (
        "from flood_seg.console import live_line, say, warn\n"
        "with live_line(lambda: ('scene', 0.5, '2/4 blocks')):\n    say('done'); warn('odd')"
    )
    terminal, inside = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=inside, env=environment)
    os.close(inside)
    shown = os.read(terminal, 1 << 16).decode()
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert "scene" in shown and "2/4 blocks" in shown and "flood-seg: odd" in shown and "done" not in shown
