"""What is made of the randomness that is handed in: uids and the endings of generated names.

Must never draw randomness by itself.
"""

from __future__ import annotations

from typing import Protocol

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' letters for generated names: no vowels, so no words; nothing that looks like something else."""


class Chance(Protocol):
    """Randomness that is handed in, such as a random.Random."""

    def getrandbits(self, k: int, /) -> int:
        """Return an integer of k random bits."""


def uid(rng: Chance) -> str:
    """Return a new random (version 4) UUID."""
    bits = rng.getrandbits(128)
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def suffix(rng: Chance) -> str:
    """Return five characters of Kubernetes' alphabet."""
    bits = rng.getrandbits(64)
    letters = []
    for _ in range(5):
        bits, index = divmod(bits, len(ALPHABET))
        letters.append(ALPHABET[index])
    return "".join(letters)
