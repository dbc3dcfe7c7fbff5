import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_las.cli import COMMANDS
from edge_las.cli import main as edge_las

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_are_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^):]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [
        f"{file}#{anchor}"
        for file, anchor in links
        if anchor not in headings(page.parent / file if file else page)
    ] == []


class Parsed(Exception):
    """A command line that was understood."""


def shown_commands(page: Path) -> Iterator[str]:
    """The commands in a page's blocks, without comments and the brackets around what may be left out."""
    for block in re.findall(r"^```(?:sh|bash)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(re.sub(r"[\[\]]|\.\.\.", "", line), comments=True)
            if words[:1] == ["edge-las"] or words[:2] == ["python", "-m"] or words[:1] == ["make"]:
                yield shlex.join(words)


COMMAND_LINES = sorted({line for page in PAGES for line in shown_commands(page)})


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_shown_commands_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = shlex.split(line)
    if program == "make":
        assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        return
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser: argparse.ArgumentParser, *given: object) -> None:
        parse(parser, *given)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    with pytest.raises(Parsed):
        if program == "edge-las":
            edge_las(arguments)
        else:
            main_of(arguments[1])(arguments[2:])


def main_of(module: str):
    """What `python -m` runs."""
    package = (ROOT / module.replace(".", "/")).is_dir()
    return importlib.import_module(f"{module}.__main__" if package else module).main


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    named = set(re.findall(r"\bedge-las ([a-z]+)\b", page.read_text(encoding="utf-8")))
    assert named - {"is"} <= set(COMMANDS)


def test_recipes_of_the_table_are_the_shipped_ones() -> None:
    table = (
        (ROOT / "docs" / "training.md").read_text(encoding="utf-8").split("| recipe |")[1].split("\n\n")[0]
    )
    shipped = {path.stem for path in (ROOT / "edge_las" / "train" / "recipes").glob("*.toml")}
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == shipped


@pytest.mark.parametrize("command", ["transcribe", "listen", "lm", "lexicon"])
def test_usage_tells_every_option_and_no_other(command: str) -> None:
    text = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    section = text.split(f"\n## `edge-las {command}")[1].split("\n## ")[0]
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command].module).add_arguments(parser)
    options = {name for name in parser._option_string_actions if name.startswith("--")} - {"--help"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section)) == options
