from edge_las.tokens import TokenTable
from export.rates import max_tokens_per_s, usual_tokens

TEXTS = ["turn on the light", "turn off the light", "the light"]


def test_characters_come_at_the_rate_of_the_fastest_speech() -> None:
    assert max_tokens_per_s(TokenTable.characters(), TEXTS) == 25.0
    assert max_tokens_per_s(TokenTable.characters(), ["a b c d"]) == 25.0
    assert max_tokens_per_s(TokenTable.characters(), ["", " "]) == max_tokens_per_s(
        TokenTable.characters(), []
    )


def test_longer_pieces_come_more_slowly() -> None:
    pieces = ["\u2581turn", "\u2581on", "\u2581the", "\u2581light", "\u2581off", "\u2581", *"adefghilnortu"]
    tokens = TokenTable.from_subwords(pieces, [0.0] * 5 + [-9.0] * 14)
    # A word of three letters is the shortest here: a token in four characters.
    assert 25.0 / 5.0 <= max_tokens_per_s(tokens, TEXTS) <= 25.0 / 3.0
    # The text that the pieces fit worst decides.
    assert max_tokens_per_s(tokens, [*TEXTS, "an ideal dinner"]) > 20.0


def test_usual_speech_is_three_fifths_as_fast() -> None:
    assert usual_tokens(25.0, 5.0) == 76
    assert usual_tokens(10.0, 15.0) == 91
