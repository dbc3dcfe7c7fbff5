"""What a grammar is to every system: the sentence nearest to a text, and a network for PocketSphinx."""

from collections import deque
from collections.abc import Iterator

from edge_las.arcs import ANY
from edge_las.errors import ConfigError
from edge_las.search.automaton import OUTSIDE, Automaton
from edge_las.tokens import WORD_MARK

# A place in the search: the grammar's state, and how much of the text is behind.
_Place = tuple[int, int]

_MOST_PLACES = 400_000
_MOST_WORDS = 200_000


def nearest(automaton: Automaton, text: str, most_places: int = _MOST_PLACES) -> str:
    """Find the sentence with the fewest letters inserted, deleted or replaced; an empty text stays empty.

    Of equally near ones the first found; where none is found within most_places the text stays as it is.
    """
    heard = "".join(WORD_MARK + word for word in text.split())
    if not heard:
        return ""
    start = (automaton.start, 0)
    came: dict[_Place, tuple[_Place, str] | None] = {}
    agenda: deque[tuple[_Place, tuple[_Place, str] | None]] = deque([(start, None)])
    while agenda and len(came) < most_places:
        place, source = agenda.popleft()
        if place in came:
            continue
        came[place] = source
        if place[1] == len(heard) and automaton.may_end(place[0]):
            return _written(came, place)
        for cost, target, letter in _moves(automaton, heard, place):
            # Free moves first: places leave the agenda in order of their cost.
            (agenda.append if cost else agenda.appendleft)((target, (place, letter)))
    return text


def _moves(automaton: Automaton, heard: str, place: _Place) -> Iterator[tuple[int, _Place, str]]:
    state, position = place
    rest = position < len(heard)
    if rest:
        yield 1, (state, position + 1), ""
    for letter in sorted(automaton.continuations(state), reverse=True):
        if letter == ANY:
            letter = heard[position] if rest and heard[position] != WORD_MARK else "a"
        target = automaton.step(state, letter)
        if target == OUTSIDE:
            continue
        yield 1, (target, position), letter
        if rest:
            yield int(heard[position] != letter), (target, position + 1), letter


def _written(came: dict[_Place, tuple[_Place, str] | None], place: _Place) -> str:
    letters = []
    step = came[place]
    while step is not None:
        letters.append(step[1])
        step = came[step[0]]
    return "".join(reversed(letters)).replace(WORD_MARK, " ").strip()


def word_arcs(automaton: Automaton, most: int = _MOST_WORDS) -> Iterator[tuple[int, int, str]]:
    """List the grammar's words as (state before, state after, word).

    Raises: ConfigError if it takes any words, or more than `most` arcs.
    """
    seen, agenda, count = {automaton.start}, [automaton.start], 0
    while agenda:
        state = agenda.pop()
        for target, word in _words_from(automaton, automaton.step(state, WORD_MARK)):
            count += 1
            if count > most:
                raise ConfigError(f"the grammar has more than {most} words in their places")
            yield state, target, word
            if target not in seen:
                seen.add(target)
                agenda.append(target)


def _words_from(automaton: Automaton, state: int) -> Iterator[tuple[int, str]]:
    agenda = [(state, "")] if state != OUTSIDE else []
    while agenda:
        state, word = agenda.pop()
        letters = automaton.continuations(state)
        if ANY in letters:
            raise ConfigError("the grammar has a place for any words, which PocketSphinx cannot have")
        if word and (WORD_MARK in letters or automaton.may_end(state)):
            yield state, word
        agenda.extend((automaton.step(state, letter), word + letter) for letter in letters - {WORD_MARK})


def finite_state_grammar(automaton: Automaton) -> str:
    """Write the grammar in PocketSphinx's FSG format, all words of equal weight."""
    arcs = list(word_arcs(automaton))
    numbers = {state: number for number, state in enumerate({automaton.start: 0, **_states(arcs)})}
    final = len(numbers)
    lines = ["FSG_BEGIN commands", f"NUM_STATES {final + 1}", "START_STATE 0", f"FINAL_STATE {final}"]
    lines += [f"TRANSITION {numbers[before]} {numbers[after]} 1.0 {word}" for before, after, word in arcs]
    lines += [f"TRANSITION {numbers[state]} {final} 1.0" for state in numbers if automaton.may_end(state)]
    return "\n".join([*lines, "FSG_END", ""])


def _states(arcs: list[tuple[int, int, str]]) -> dict[int, int]:
    return {state: 0 for before, after, _ in arcs for state in (before, after)}
