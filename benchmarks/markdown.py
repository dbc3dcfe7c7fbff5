"""Tables and figures as Markdown has them."""

from collections.abc import Iterable, Iterator, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> Iterator[str]:
    """Write a table, its first `text_columns` columns to the left, the others to the right."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' if i < text_columns else '--:' for i in range(len(heads)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def percent(rate: float | None) -> str:
    """Write a rate, nothing for None."""
    return "" if rate is None else f"{100.0 * rate:.1f} %"


def megabytes(size: float) -> str:
    """Write bytes as MB."""
    return f"{size / 1e6:.1f} MB"
