import re
from pathlib import Path

import pytest

from edge_las.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


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
