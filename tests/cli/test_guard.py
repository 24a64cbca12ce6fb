from __future__ import annotations

import fire
import pytest

from flood_seg.cli.guard import guard
from flood_seg.cli.help import help_of_verb
from flood_seg.cli.table import Flag, Verb
from flood_seg.errors import UsageError

HERE = "tests.cli.test_guard"
IMAGE = "a picture, which is described in so many words that they do not fit into a line: of any size"
RUN = Verb(
    "run", f"{HERE}:toy", "Run.", ("toy run --image a.jpg",),
    (
        Flag("image", IMAGE),
        Flag("docker-version", "a tag", default="24.10"),
        Flag("count", "how many", int),
        Flag("overlay", "also draw", bool, False),
        Flag("multirun", "again and again", bool, False),
    ),
    config="toy", overrides="keys of the toy",
)  # fmt: skip
SEVERAL = Verb(
    "several", f"{HERE}:several", "Take several.", (), (Flag("models", "", tuple, ()), Flag("out", "", default="x")),
    config="toy",
)  # fmt: skip
INNER = Verb("group inner", f"{HERE}:inner", "Inner.", (), (Flag("out", "", default="x"),))
TOY = (RUN, SEVERAL, INNER)

_calls: list = []


def toy(overrides=(), *, image=None, docker_version="24.10", count=None, overlay=False, multirun=False):
    _calls.append((overrides, image, docker_version, count, overlay, multirun))


def several(overrides=(), *, models=(), out="x"):
    _calls.append((overrides, models, out))


def inner(*, out="x"):
    _calls.append(out)


def run(*arguments: str):
    _calls.clear()
    command = guard(TOY, list(arguments), "toy")
    if command is not None:
        verb, flags = command
        fire.Fire(globals()[verb.function.partition(":")[2]], command=flags, name="toy")
    return _calls[0] if _calls else None


DEFAULT = ((), None, "24.10", None, False, False)


def test_defaults_arrive():
    assert run("run") == DEFAULT


@pytest.mark.parametrize(
    "version", ["24.10", "1e3", "007", "None", "True", "[1]", "a b", "'q'", 'a"b', "-x", "ü,ñ", "a=b"]
)
@pytest.mark.parametrize("form", ["--docker-version={}", "--docker_version={}", "--docker-version {}"])
def test_a_string_stays_the_string_that_was_typed(version, form):
    flag, _, value = form.partition(" ")
    words = [flag, version] if value else [form.format(version)]
    assert run("run", *words)[2] == version


def test_a_number_as_a_file_name_stays_a_string():
    assert run("run", "--image", "1234")[1] == "1234"


@pytest.mark.parametrize(
    "override", ["a.b=1", "+a=[1,2]", "++a=1", "a={b:1}", "~a.b", "a='x y'", "a=", "a=1e-3", "g/h@i=j", "a=b=c"]
)
def test_overrides_arrive_unchanged(override):
    assert run("run", override)[0] == (override,)


def test_m_does_not_swallow_the_next_override():
    assert run("run", "-m", "model=a,b", "x=1") == (("model=a,b", "x=1"), None, "24.10", None, False, True)


@pytest.mark.parametrize(
    ("words", "overlay"),
    [(["--overlay"], True), (["--nooverlay"], False), (["--no-overlay"], False), (["--overlay=false"], False),
     (["--overlay", "false"], False), (["--overlay", "True"], True), (["--overlay=1"], True)],
)  # fmt: skip
def test_switches(words, overlay):
    assert run("run", *words, "a=1") == (("a=1",), None, "24.10", None, overlay, False)


def test_the_word_help_is_a_value_like_any_other():
    assert run("run", "--image", "help")[1] == "help"


def test_a_short_flag_takes_a_value_of_its_own():
    assert run("run", "-m=false", "x=1")[5] is False


def test_a_switch_does_not_swallow_an_override_or_a_flag():
    assert run("run", "--overlay", "a=1", "--count", "-3") == (("a=1",), None, "24.10", -3, True, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--imge", "a.jpg"], "--imge: toy run has no such flag (did you mean '--image'?)"),
        (["run", "--zzz"], "--zzz: toy run has no such flag; see toy run --help"),
        (["rum"], "rum: toy has no such verb (did you mean 'run'?); verbs: run, several, group"),
        (["group", "iner"], "iner: toy group has no such verb (did you mean 'inner'?)"),
        (["run", "--image"], "--image: toy run requires a value after it"),
        (["run", "--image", "--overlay"], "--image: toy run requires a value after it"),
        (["run", "--count", "many"], "--count many: toy run requires an integer"),
        (["run", "--count=1.5"], "--count 1.5: toy run requires an integer"),
        (["run", "--overlay=maybe"], "--overlay=maybe: toy run requires true or false"),
        (["run", "photo.jpg"], "did you mean toy run --image photo.jpg?"),
        (["run", "-x", "1"], "-x: toy run has no such flag"),
        (["run", "--image="], "--image: toy run requires a value after it, not an empty one"),
        (
            ["run", "--image", "a.jpg", "b.jpg"],
            "--image takes one value; put a pattern or a path with spaces in quotes",
        ),
        (["run", "--a.b=3"], "did you mean a.b=3, without dashes?"),
        (["--versoin"], "toy requires a verb first (did you mean '--version'?)"),
        (["group", "--out", "y"], "--out: toy group requires a verb first"),
    ],
)
def test_a_mistake_runs_nothing_and_says_what_was_meant(words, message):
    _calls.clear()
    with pytest.raises(UsageError) as error:
        run(*words)
    assert message in str(error.value) and not _calls


def test_a_group_has_verbs_of_its_own():
    assert run("group", "inner", "--out", "y") == "y"


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["help"], ["run", "--help"], ["help", "run"], ["run", "-h"], ["group"]]
)
def test_help_is_printed_plainly_and_runs_nothing(words, capsys):
    assert run(*words) is None
    out = capsys.readouterr().out
    assert "usage: toy" in out and "\x1b" not in out


def test_help_says_of_every_flag_what_it_is_its_kind_and_default():
    text = help_of_verb(RUN, "toy run")
    assert "\n\n  toy run --image a.jpg\n\n  --image            a picture, which is described in so many words" in text
    lines = [line.split(None, 1) for line in text.splitlines()]
    assert ["--docker-version", "a tag (default: 24.10)"] in lines and ["--count", "how many (integer)"] in lines
    assert ["--overlay", "also draw"] in lines and ["key=value", "keys of the toy"] in lines
    assert " ".join(text.split()).count("fit into a line: of any size --docker-version") == 1 and "Args" not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--models", "a.ckpt", "b.onnx", "--out", "y"], ((), ("a.ckpt", "b.onnx"), "y")),
        (["--models", "a.onnx", "x=1", "y.z=2"], (("x=1", "y.z=2"), ("a.onnx",), "x")),
        (["x=1", "--models=a", "triton:host:8000/m"], (("x=1",), ("a", "triton:host:8000/m"), "x")),
        (["--models", "best-epoch=04.ckpt", "openvino,threads=1:'q'.onnx"],
         ((), ("best-epoch=04.ckpt", "openvino,threads=1:'q'.onnx"), "x")),
    ],
)  # fmt: skip
def test_a_flag_of_several_values_takes_the_words_up_to_the_next_flag_or_override(words, expected):
    assert run("several", *words) == expected


def test_an_override_is_no_value_of_a_flag():
    _calls.clear()
    with pytest.raises(UsageError, match="a=b: toy group inner takes no key=value overrides; see toy group inner"):
        run("group", "inner", "a=b")
    assert not _calls
