"""Text that is safe to print on a terminal."""

from __future__ import annotations


def spell_controls(text: str) -> str:
    """Escape characters that a terminal would act on or hide: controls, escape sequences, odd spaces, surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
