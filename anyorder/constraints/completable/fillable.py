"""The decode hook: may this token stand in this cell, and what fills the cells that are left.

A row is a list of token ids with holes. Every run of holes is a gap that any text may fill; a token is
allowed if the row with it can still be completed. That ignores how many cells a gap has, as the paper
does; `room` asks for more (ours): while every cell behind the first hole may be given up, text up to that
hole must have an end within the cells; fixed cells behind it must have a way that fits every gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from anyorder.constraints.completable.language import Language
from anyorder.constraints.completable.search import Search, Start
from anyorder.constraints.completable.spelling import Spelling, decoded, lacking, whole
from anyorder.constraints.completable.texts import Rest, Rests
from anyorder.errors import UserError

SHORT = 2  # letters up to which a gap's least length is told to the search; longer ones are stretched


class Gap(NamedTuple):
    """Holes from one cell to another, and the text behind them. `last`: nothing but the end may follow."""

    begin: int
    end: int
    after: bytes
    last: bool

    @property
    def cells(self) -> int:
        return self.end - self.begin


class Layout(NamedTuple):
    """A row as text: what is known from the left, in two parts, then gaps."""

    settled: bytes
    before: bytes
    gaps: list[Gap]


class Fillable:
    """Rows of one request. `row`: its cells, `hole` where nothing is written; what is written now is fixed.

    Raises UserError if the fixed cells already break the grammar, with the part and the place.
    """

    def __init__(
        self,
        language: Language,
        spelling: Spelling,
        row: Sequence[int],
        hole: int,
        *,
        room: bool = True,
        name: str = "grammar",
    ):
        self.language, self.spelling, self.hole, self.room, self.name = language, spelling, hole, room, name
        self.fixed = frozenset(i for i, token in enumerate(row) if token != hole)
        self.last_fixed = max(self.fixed, default=-1)
        self.start, self.read = Start(language), b""
        lexer, can = language.lexer, self._letters()
        order = sorted(
            lexer.order, key=lambda kind: kind not in can
        )  # first what can be written letter by letter
        self.rests = Rests(lexer, language.blank is not None, order)
        self.letters = {
            ord(lexer.sample[kind]): letter
            for kind, letter in can.items()
            if lexer.sample[kind].encode() not in spelling.token
        }
        self.checks = 0  # texts that were judged
        self.plan: dict[int, int] = {}  # with room: what would fill a row, for as long as it is followed
        self._judge_fixed(list(row))

    # what a policy asks ------------------------------------------------------------------------------------

    def allowed(self, row: Sequence[int], cell: int, token: int) -> bool:
        """Whether the row can be completed with the token in that cell. An end of text closes everything to
        its right."""
        eos, row = self.spelling.eos, list(row)
        if any(t in eos for t in row[:cell]):
            return token in eos
        if token in eos and cell < self.last_fixed:
            return False
        if token not in eos and not (0 <= token < len(self.spelling.word) and self.spelling.word[token]):
            return False
        settled = row.index(self.hole) if self.hole in row else len(row)
        row[cell] = token
        if not self._possible(self._layout(row, min(settled, cell))):
            return False
        return not self.room or self._has_room(row, cell, token)

    def complete(self, row: Sequence[int]) -> dict[int, int] | None:
        """Tokens that fill the row's holes and end the text; None: none were found that fit.

        What is written stays, if that is possible. Otherwise the text ends in some gap, the last one that
        can, and cells behind it are given up; one of them is in the answer if it was needed for the end. An
        interior gap of g cells takes g tokens, the last at most g, an end of text following.
        """
        row = list(row)
        end = self._end(row)
        if self.hole not in row[:end]:
            return {} if self._possible(self._layout(row, 0)) else None
        found = self._fit(row, self._layout(row, 0))
        gaps = [gap for gap in self._layout(row, 0).gaps if gap.begin > self.last_fixed]
        for whole_row in (False, True):
            for gap in reversed(gaps):
                if found is None:
                    last = end if whole_row else gap.end
                    cut = [*row[: gap.begin], *[self.hole] * (last - gap.begin), *row[last:end]]
                    found = self._fit(cut, self._layout(cut[:last], 0))
        return found

    # texts -------------------------------------------------------------------------------------------------

    def _end(self, row: Sequence[int]) -> int:
        """The first cell with an end of text, or behind the last cell."""
        return next((i for i, token in enumerate(row) if token in self.spelling.eos), len(row))

    def _layout(self, row: Sequence[int], settled: int) -> Layout:
        """The row as text; the first `settled` cells have no holes."""
        end = self._end(row)
        first = next((i for i in range(end) if row[i] == self.hole), end)
        settled = min(settled, first)
        gaps, at = [], first
        while at < end:
            close = next((i for i in range(at, end) if row[i] != self.hole), end)
            then = next((i for i in range(close, end) if row[i] == self.hole), end)
            gaps.append(Gap(at, close, self._bytes(row[close:then]), close == end))
            at = then
        return Layout(self._bytes(row[:settled]), self._bytes(row[settled:first]), gaps)

    def _bytes(self, cells: Sequence[int]) -> bytes:
        return b"".join(self.spelling.word[token] or b"\xff" for token in cells)  # 0xff: in no text

    def _possible(self, layout: Layout) -> bool:
        """Whether the row can be completed, if a gap may be as long as it likes."""
        search = self._search(layout, False, False)
        return search is not None and search.possible()

    def _way(self, layout: Layout) -> dict[int, str] | None:
        """Index of a gap -> a short text for it. Gaps with text behind them have letters for all their cells,
        as far as the search is told."""
        search = self._search(layout, True, True)
        way = search.way() if search is not None else None
        if way is None:
            return None
        return {len(layout.gaps) - 1 - depth: text.translate(self.letters) for depth, text in way.items()}

    def _letters(self) -> dict[int, str]:
        """Kind of letters -> one of them that is a token."""
        can: dict[int, str] = {}
        for word in self.spelling.token:
            if len(word) == 1 and word.isascii():
                can.setdefault(next(self.language.lexer.kinds(word.decode())), word.decode())
        return can

    def _search(self, layout: Layout, long: bool, ordered: bool) -> Search | None:
        self.checks += 1
        settled = whole(layout.settled)
        if not layout.settled.startswith(self.read):
            self.start, self.read = Start(self.language), b""
        fresh = decoded(layout.settled[len(self.read) : settled], False, False)
        if fresh is None:
            return None
        self.start.read(self.language.lexer.kinds(fresh))
        self.read = layout.settled[:settled]
        rest = self._rest(layout, layout.settled[settled:] + layout.before, long)
        return None if rest is None else Search(self.start, rest, ordered)

    def _rest(self, layout: Layout, before: bytes, long: bool) -> Rest | None:
        """What follows the settled text; None: it is not UTF-8."""
        kinds, gaps = self.language.lexer.kinds, layout.gaps
        parts: list[tuple[int | None, tuple[int, ...]]] = []
        if before or not gaps:
            text = decoded(before, False, bool(gaps))
            if text is None:
                return None
            parts.append((None, tuple(kinds(text))))
        for i, gap in enumerate(gaps):
            text = decoded(gap.after, True, i + 1 < len(gaps))
            if text is None:
                return None
            least = 0 if gap.last else min(gap.cells, SHORT) if long else 1
            parts.append((least, tuple(kinds(text))))
        return self.rests.of(parts)

    # gaps that are filled ----------------------------------------------------------------------------------

    def _has_room(self, row: list[int], cell: int, token: int) -> bool:
        """Whether a way to an end is known that fits the cells."""
        end = self._end(row)
        first = next((i for i in range(end) if row[i] == self.hole), None)
        if first is None or self.plan.get(cell) == token:
            return True
        if first > self.last_fixed:
            if cell > first and token not in self.spelling.eos and self.plan:
                return True  # the plan ends the text from the first hole on
            row = [*row[:first], *[self.hole] * (end - first), *row[end:]]
        plan = self.complete(row)
        if plan is not None:
            self.plan = plan
        return plan is not None

    def _fit(self, row: Sequence[int], layout: Layout) -> dict[int, int] | None:
        """Tokens for every gap, as many as it has cells."""
        way = self._way(layout)
        if way is None:
            return None
        before, texts = layout.settled + layout.before, []
        for i, gap in enumerate(layout.gaps):
            texts.append(lacking(before) + way.get(i, "").encode())
            before = before + texts[-1] + gap.after
        found: dict[int, int] = {}
        for i, gap in enumerate(layout.gaps):
            if gap.last:
                tokens = self.spelling.cut(texts[i], 0, gap.cells)
            else:
                tokens = self._exactly(layout, texts, i)
            if tokens is None:
                return None
            found |= {gap.begin + n: token for n, token in enumerate(tokens)}
            if gap.last and len(tokens) < gap.cells:
                found[gap.begin + len(tokens)] = min(self.spelling.eos)
            elif gap.last and gap.end < len(row) and row[gap.end] not in self.spelling.eos:
                found[gap.end] = min(self.spelling.eos)
        return found if self._member(layout, texts) else None

    def _exactly(self, layout: Layout, texts: list[bytes], i: int) -> list[int] | None:
        """As many tokens as the gap has cells; `texts[i]` becomes what they write."""
        cells = layout.gaps[i].cells
        for text in self._stretched(texts[i], cells):
            tokens = self.spelling.cut(text, cells, cells)
            if tokens is not None and (
                text == texts[i] or self._member(layout, [*texts[:i], text, *texts[i + 1 :]])
            ):
                texts[i] = text
                return tokens
        return None

    def _stretched(self, text: bytes, cells: int) -> Iterator[bytes]:
        """The text, and longer ones: a letter of it or a space again and again."""
        yield text
        more = cells - len(text)
        if more > 0:
            for i in range(len(text)):
                yield text[:i] + text[i : i + 1] * more + text[i:]
            yield b" " * more + text
            yield text + b" " * more

    def _member(self, layout: Layout, texts: list[bytes]) -> bool:
        """Whether the text is one of the grammar with its gaps filled so."""
        text = layout.settled + layout.before
        text += b"".join(filled + gap.after for filled, gap in zip(texts, layout.gaps))
        said = decoded(text, False, False)
        if said is None:
            return False
        self.checks += 1
        start = Start(self.language)
        start.read(self.language.lexer.kinds(said))
        return Search(start, self.rests.of([(None, ())]), False).possible()

    # what is fixed -----------------------------------------------------------------------------------------

    def _judge_fixed(self, row: list[int]) -> None:
        """Raises UserError with the fixed part and the place where no text of the grammar goes on."""
        for token in (row[i] for i in self.fixed):
            if token not in self.spelling.eos and not self.spelling.word[token]:
                raise UserError(
                    f"token {token} is fixed and is no part of a text of {self.name}; allowed are tokens "
                    "that write something; leave it out"
                )
        if not self._possible(self._layout(row, 0)):
            raise UserError(self._broken(row))
        if self.room and self.complete(row) is None:
            raise UserError(
                f"no text of {self.name} was found that fits the holes of {len(row)} cells; allowed is at "
                "most one token in each; give it more cells"
            )

    def _broken(self, row: list[int]) -> str:
        """One sentence about the first fixed part with which no text of the grammar goes on."""
        end = self._end(row)
        open_ = [self.hole]
        good, bad = 0, end + 1  # cells with which the row, left open, can be completed, and cannot
        while bad - good > 1:
            middle = (good + bad) // 2
            fits = middle <= end and self._possible(self._layout([*row[:middle], *open_], 0))
            good, bad = (middle, bad) if fits else (good, middle)
        if bad > end:
            part = self._text(row, max(self.last_fixed, 0))
            return (
                f"no text of {self.name} ends with the fixed part {part}; allowed is an end of it; change it"
            )
        part, at = self._text(row, bad - 1), self._bytes([row[bad - 1]]).decode(errors="replace")
        return (
            f"the fixed part {part} breaks {self.name} at {at!r} (cell {bad - 1}); allowed is what some text "
            f"of it holds there; change it"
        )

    def _text(self, row: list[int], cell: int) -> str:
        """The fixed part that a cell lies in, quoted."""
        first = last = cell
        while first - 1 in self.fixed:
            first -= 1
        while last + 1 in self.fixed:
            last += 1
        cells = [token for token in row[first : last + 1] if token not in self.spelling.eos]
        return repr(self._bytes(cells).decode(errors="replace"))
