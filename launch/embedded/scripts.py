"""Tells texts that all-MiniLM-L6-v2 can read from others: it was trained on English, so on Latin letters."""

import re

_BEGINNING = 2000  # characters that are looked at: the beginning tells the script, and a long document costs no time
_LETTER = re.compile(r"[^\W\d_]")
# Blocks of Latin letters. Fullwidth forms and letters with marks count as Latin, phonetic symbols too.
_LATIN = re.compile(
    "[A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u1d00-\u1dbf\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a]"
)
_FOREIGN_SHARE = 0.1  # a Greek letter in a formula or a brand in Cyrillic does not make a text Greek or Russian


def is_latin(text: str) -> bool:
    """True if nine tenths of the letters are Latin, or if the text has no letters at all."""
    if text.isascii():
        return True
    letters = len(_LETTER.findall(text, 0, _BEGINNING))
    latin = len(_LATIN.findall(text, 0, _BEGINNING))
    return letters - latin <= letters * _FOREIGN_SHARE
