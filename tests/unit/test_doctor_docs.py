"""The doctor's page has a row for each thing that the doctor may find, and for nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    *(ROOT / "src/token_keeper/doctor").glob("*.py"),
    *(
        ROOT / "module_utils/token_keeper_helper" / name
        for name in ("accesses.py", "diagnosis.py", "stack_health.py", "volume_kind.py")
    ),
]
MAKERS = {"Finding", "_document", "_finding"}
CHECKS = {"FileSystem", "AccessToken", "LockAccess"}
OF_A_DOCUMENT = {"Empty", "NotJSON", "NotAnObject", "FieldMissing", "FieldInvalid", "TooLarge", "Unreadable"}
"""Reasons that come from the document's own parser."""


def made() -> Iterator[str]:
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                yield from (
                    text for text in texts if isinstance(text, str) and re.fullmatch(r"([A-Z][a-z]+){2,}", text)
                )


def documented() -> set[str]:
    rows = re.findall(r"^\| ([A-Z]\w[^|]*) \|", (ROOT / "docs/doctor.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {word for row in rows for word in re.findall(r"[A-Z]\w+", re.sub(r"\(.*?\)", "", row))}


def test_every_finding_has_its_row() -> None:
    reasons = ({*made()} - CHECKS) | OF_A_DOCUMENT
    assert len(reasons) > 45
    assert reasons - documented() == set()


def test_every_row_is_of_a_finding() -> None:
    sources = "".join(source.read_text(encoding="utf-8") for source in SOURCES)
    unknown = {word for word in documented() - OF_A_DOCUMENT if f'"{word}"' not in sources}
    assert unknown == set()
