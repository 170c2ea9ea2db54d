"""How exact the means of a whole report may be, beside the counts that it withholds.

As within the table of outcomes (:mod:`evaluation.audit.rounding`), for every section whose rows
show means over cases.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from math import ceil, inf, isfinite, log2

from evaluation.library_audit.choosing import Known, Withheld
from evaluation.library_audit.counting import Sizes
from evaluation.library_audit.rows import Average, Reading
from evaluation.stats import Minimum
from evaluation.stats.attacker_lp import Bounds, Limit, Relation
from evaluation.stats.rounding import BLANK, EXACT, ROUNDED, Mean, rounded, settle, step_of

__all__ = ["Levels", "end_of", "find_levels", "rest_of", "step_of_row"]

Terms = dict[Hashable, float]
End = tuple[str, ...]
_EXACTLY = 1e-7
_FAR = 1e9


class Levels:
    """Levels of the means of a report (:mod:`evaluation.stats.rounding`).

    Parameters
    ----------
    of : mapping of (name, end) to int
        An end is (attribute, group), or ("rest", attribute, group) of all others.
    units : mapping of name to float
        In what the figures are measured: 1 where they lie between 0 and 1.
    """

    def __init__(
        self, of: Mapping[Hashable, int], units: Mapping[tuple[str, ...], float] | None = None
    ) -> None:
        self.of, self.units = of, units or {}

    def own(self, reading: Reading) -> int:
        """Level of a row's own means; the coarsest of them."""
        return max(
            (self.of.get((average.name, end_of(reading)), EXACT) for average in reading.averages),
            default=EXACT,
        )

    def rest(self, reading: Reading) -> int:
        """Level of the others' means."""
        return max(
            (
                self.of.get((average.name, ("rest", *end_of(reading))), EXACT)
                for average in reading.averages
            ),
            default=EXACT,
        )


def end_of(reading: Reading) -> End:
    """Attribute and group of a row, or nothing where it is of all."""
    row = reading.row
    return () if row["attribute"] == "all" else (str(row["attribute"]), str(row["group"]))


def find_levels(
    rows: Collection[Reading],
    gone: Withheld,
    known: Known,
    sizes: Sizes,
    minimum: Minimum,
    kinds: Mapping[str, str],
) -> Levels:
    """Find how exact each mean may be.

    Parameters
    ----------
    rows : collection of Reading
        Before anything is taken out.
    gone : Withheld
    known : Known
    sizes : Sizes
    minimum : Minimum
    kinds : mapping of outcome to {"proportion", "score"}

    Returns
    -------
    Levels
    """
    if not known.small:
        return Levels({})
    return _Settling(rows, gone, known, sizes, minimum, kinds).levels()


class _Settling:
    def __init__(
        self,
        rows: Collection[Reading],
        gone: Withheld,
        known: Known,
        sizes: Sizes,
        minimum: Minimum,
        kinds: Mapping[str, str],
    ) -> None:
        self.gone, self.known, self.sizes, self.minimum = gone, known, sizes, minimum
        self.rows = [
            (reading, average)
            for reading in rows
            for average in reading.averages
            if reading.row.get("precision") != "suppressed"
            and _number(reading.row.get(average.field)) is not None
        ]
        self.units = _units(self.rows)
        self.shares = {  # of which sums are whole numbers
            average.name
            for _, average in self.rows
            if average.name[0] in ("label", "finding") or kinds.get(average.name[1]) == "proportion"
        }
        self.sums: dict[Hashable, Hashable | None] = {}
        self.ends = dict(known.ends)
        self.relations: list[Relation] = list(known.relations)
        for name, number, events, attribute in sorted(
            {(a.name, a.number, a.events, end_of(r)[:1]) for r, a in self.rows}, key=repr
        ):
            if attribute:
                self._add_up(name, number, events, attribute[0])
        self.beside: dict[End, set[End]] = {}

    def _add_up(
        self, name: tuple[str, ...], number: int, events: int | None, attribute: str
    ) -> None:
        """Sums of what is averaged add up over groups as counts do."""
        names = self.sizes.attributes[attribute].names
        cells = []
        for end in ((), *((attribute, group) for group in names)):
            cell = self._values(name, events, end)
            cells.append(cell)
            if cell[0] == "sum":
                self.sums[cell] = self._size(number, end)
                if name in self.units:  # any sum is possible
                    self.ends[cell] = -_FAR, None
        if all(cell[0] == "sum" for cell in cells):
            self.relations.append((cells[0], tuple(cells[1:])))

    def _values(self, name: tuple[str, ...], events: int | None, end: End) -> tuple[Hashable, ...]:
        counted = None if events is None else self._size(events, end)
        return ("sum", name, *end) if counted is None else ("cases", (events, *(end or ("",))))

    def _size(self, number: int, end: End) -> Hashable | None:
        cell = ("cases", (number, *(end or ("",))))
        return cell if cell in self.known.counts else None

    def levels(self) -> Levels:
        """Settle."""
        start: dict[Hashable, int] = {}
        for reading, average in self.rows:
            end = end_of(reading)
            total = (average.number, "") in self.gone
            own = ROUNDED if (average.number, *(end or ("",))) in self.gone else EXACT
            key: Hashable = (average.name, end)
            start[key] = max(start.get(key, EXACT), own)
            if end:
                rest: Hashable = (average.name, ("rest", *end))
                start[rest] = max(start.get(rest, EXACT), ROUNDED if total else own)
        bounds = Bounds(
            self.known.counts, set(self.known.small), set(self.known.counts) | set(self.sums),
            self.minimum.reported - 1, marked=True, own=False, known=self.ends,
        )  # fmt: skip
        fractions = {cell for cell in self.sums if cell[1] not in self.shares}  # type: ignore[index]
        found = settle(
            start, self._told, self._near, self.known.counts, self.relations, bounds, fractions,
            _place,
        )  # fmt: skip
        return Levels(found, self.units)

    def _told(self, levels: Mapping[Hashable, int]) -> tuple[Collection[Hashable], list[Limit]]:
        limits: list[Limit] = []
        for reading, average in self.rows:
            end, row = end_of(reading), reading.row
            own, size = (
                self._values(average.name, average.events, end),
                self._size(average.number, end),
            )
            level = levels[average.name, end]
            value = _number(row[average.field])
            if size is None or value is None:
                continue
            unit = self.units.get(average.name, 1.0)
            step, half = self._step(reading, level, row.get("step"), unit)
            if level != BLANK:
                limits += _mean({own: 1.0}, {size: 1.0}, rounded(value, step), half)
            every = self._values(average.name, average.events, ())
            total = self._size(average.number, ())
            others = levels.get((average.name, ("rest", *end)), level)
            rest = rest_of(reading, average)
            if total is None or not end or max(level, others) == BLANK:
                continue
            if rest is not None:
                level = max(level, others)
                step, half = self._step(reading, level, row.get("step_rest"), unit)
                if _number(row.get(average.rest)) is None:  # told by a gap, rounded by itself
                    half += self._before(reading, row.get("step_rest"))
                limits += _mean(
                    {every: 1.0, own: -1.0}, {total: 1.0, size: -1.0}, rounded(rest, step), half
                )
        for cell, size in self.sums.items():
            if size is not None and cell not in self.ends:
                limits.append(Limit({cell: 1.0, size: -1.0}, -inf, 0.0))
        return {*self.known.hidden, *self.sums}, limits

    def _step(
        self, reading: Reading, level: int, given: object, unit: float
    ) -> tuple[float, float]:
        """Step that a figure is rounded to here, and half of the one that it is given in."""
        step = 0.0 if level == BLANK else unit * step_of_row(reading, level, self.minimum)
        return step, max(step, self._before(reading, given)) / 2 + _EXACTLY

    def _before(self, reading: Reading, given: object) -> float:
        """Step that a section has rounded to: as it says, or where it shows no size of its own."""
        if isinstance(given, float) and isfinite(given):
            return given
        hidden = reading.row.get("n_patients") is None
        return step_of_row(reading, ROUNDED, self.minimum) if hidden else 0.0

    def _near(self, cell: Hashable) -> Collection[Hashable]:
        """Means of groups that stand in a sum with a cell, in whatever unit."""
        if not self.beside:
            for total, parts in self.known.relations:
                ends = {_end(name) for name in (total, *parts)}
                for end in ends:
                    self.beside.setdefault(end, set()).update(ends)
        near = self.beside.get(_end(cell), ())
        names = {average.name for _, average in self.rows}
        return {(name, way) for end in near for name in names for way in (end, ("rest", *end))}


def rest_of(reading: Reading, average: Average) -> float | None:
    """Give the others' mean, as it is shown or as the gap tells it."""
    rest, value, gap = (
        _number(reading.row.get(name)) for name in (average.rest, average.field, average.gap)
    )
    return value - gap if rest is None and value is not None and gap is not None else rest


def step_of_row(reading: Reading, level: int, minimum: Minimum) -> float:
    """Give the step of a row's figures, in units (:func:`evaluation.stats.rounding.step_of`)."""
    return step_of(level, str(reading.row.get("precision", "low")), 0, minimum)


def _units(rows: Collection[tuple[Reading, Average]]) -> dict[tuple[str, ...], float]:
    """Powers of two above all means of those that are not all between 0 and 1."""
    found: dict[tuple[str, ...], float] = {}
    for reading, average in rows:
        value = _number(reading.row.get(average.field))
        if value is not None and not 0 <= value <= 1:
            found[average.name] = max(found.get(average.name, 1.0), abs(value))
    return {name: 2.0 ** ceil(log2(largest)) for name, largest in found.items()}


def _mean(values: Terms, sizes: Terms, value: float, half: float) -> list[Limit]:
    return Mean(values, sizes, value, half).limits()


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def _end(cell: Hashable) -> End:
    """Attribute and group at the end of a cell of either unit; nothing of a total."""
    name: Sequence[Hashable] = cell[1] if isinstance(cell, tuple) else ()
    if name and name[0] in ("less", "both", "not", "read"):
        name = [part for part in name[1:] if isinstance(part, str)]
    else:
        name = name[1:]
    return () if name in ((), [], ("",), [""]) else tuple(str(part) for part in name)


def _place(cell: Hashable) -> tuple[Hashable, Hashable]:
    """Group of a cell, and what it is of its group."""
    held: Sequence[Hashable] = cell if isinstance(cell, tuple) else ()
    if held and held[0] == "sum":
        return (held[2:], held[:3]) if len(held) == 4 else (cell, "")
    end = _end(cell)
    name = held[1] if len(held) > 1 else ()
    if len(end) != 2 or not isinstance(name, tuple) or name[-1] != end[-1]:
        return cell, ""
    return end, (held[0], name[:-1])
