"""What may be said in public, and how a text is made to fit a channel."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise

from tasks.clients.public.words import Words
from tasks.errors import Permanent, Refused
from tasks.plan.communication import PLACEHOLDERS

BLOCK = "crisis_communication.channels"
"""Where the plan has the public channels' settings."""
_LONGEST_SUBJECT = 200
_LONGEST_TEXT = 20_000
_BRACKETS = re.compile(r"\[([A-Za-z][A-Za-z0-9_ ]*)\]")
_NAME = re.compile(r"[!-~]{1,200}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
# Control characters, halves of a surrogate pair, separators of lines and paragraphs.
_HIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Overrides show a text in another order than it has: what a reader sees is not what was approved.
_OVERRIDES = frozenset("\u202d\u202e")
_LINK = re.compile(r"https?://[!-~]+")
# What is one whole though no mark says so: a link, and the two letters that are a flag.
_WHOLE = re.compile(rf"{_LINK.pattern}|[\U0001f1e6-\U0001f1ff]{{2}}")
_AFTER_LINK = ".,;:!?)]}>'\""
_MORE = "..."
_JOINER = "\u200d"


def checked(words: Words) -> str:
    """The subject and below it the text, composed (NFC), if both are fit for the public.

    Raises:
        Refused: an unfilled placeholder, a character that nobody sees, nothing or too much; all at once.
    """
    found = [
        *(f"subject: {wrong}" for wrong in _mistakes(words.subject, _LONGEST_SUBJECT)),
        *(f"text: {wrong}" for wrong in _mistakes(words.text, _LONGEST_TEXT)),
    ]
    if {"\n", "\t"} & set(words.subject) or "=?" in words.subject:
        found.append("subject: not one plain line")
    if not _NAME.fullmatch(words.key) or not _NAME.fullmatch(words.incident):
        found.append("key and incident: not 1 to 200 visible ASCII characters")
    if not _LANGUAGE.fullmatch(words.language):
        found.append("language: not one such as 'en' or 'pt-BR'")
    if found:
        raise Refused(
            "the words are not fit for the public", "; ".join(found), "correct them, then try again"
        )
    return unicodedata.normalize("NFC", f"{words.subject.strip()}\n{words.text.strip()}")


def _mistakes(text: str, longest: int) -> Iterator[str]:
    if not text.strip():
        yield "empty"
    if len(text) > longest:
        yield f"{len(text)} characters, {longest} are allowed"
    if any(_hidden(each) for each in text):
        yield "a control character, a line separator, an override of direction, or half a character"
    bare = {name for name in _BRACKETS.findall(text) if _is_placeholder(name)}
    yield from (f"[{name:.40}] is not filled" for name in sorted(bare))


def _hidden(character: str) -> bool:
    if character in _OVERRIDES:
        return True
    return character not in "\n\t" and unicodedata.category(character) in _HIDDEN


def _is_placeholder(name: str) -> bool:
    """The plan's own in any writing, and what is written as only a program would."""
    return name.strip().lower().replace(" ", "_") in PLACEHOLDERS or "_" in name


def shortened(text: str, fits: Callable[[str], bool]) -> str:
    """A text as long as it fits: cut at a word's end, its last link kept, which leads to the whole.

    Args:
        text: the text.
        fits: whether the channel takes a text; it takes every part from the start of one that it takes.

    Raises:
        Permanent: not even one character fits beside the link.
    """
    if fits(text):
        return text
    link = _links(text)[-1:]

    def cut(end: int) -> str:
        head = text[:end].rstrip()
        return " ".join([head + _MORE, *(each for each in link if each not in _links(head))])

    for ends in (_word_ends(text), _character_ends(text)):
        fitting = bisect_left(ends, True, key=lambda end: not fits(cut(end)))
        if fitting:
            return cut(ends[fitting - 1])
    raise Permanent("the text does not fit however it is cut", hint="shorten its link")


def _links(text: str) -> list[str]:
    return [match[0].rstrip(_AFTER_LINK) for match in _LINK.finditer(text)]


def _word_ends(text: str) -> list[int]:
    """Where a word ends: before a space, and beside each sign of a script that is written without any."""
    return [
        end
        for end in _character_ends(text)
        if not text[end - 1].isspace() and (text[end].isspace() or _wide(text[end - 1]) or _wide(text[end]))
    ]


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in {"W", "F"}


def _character_ends(text: str) -> list[int]:
    """Where what a reader sees as one character ends, outside links."""
    inside = {at for match in _WHOLE.finditer(text) for at in range(match.start() + 1, match.end())}
    return [
        end
        for end, (left, right) in enumerate(pairwise(text), 1)
        if end not in inside and not _continues(left, right)
    ]


def _continues(left: str, right: str) -> bool:
    """Whether two code points belong to one visible character: marks, joined emoji, skin tones."""
    tone = "\U0001f3fb" <= right <= "\U0001f3ff"
    marked = unicodedata.category(right).startswith("M")
    return _JOINER in {left, right} or marked or tone
