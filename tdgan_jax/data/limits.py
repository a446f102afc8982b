"""What the fields of augmentations may hold; written beside the fields as annotations."""

from typing import Any, NamedTuple, TypeAlias

# Of a colour: one value for all channels, or one for each.
Colour: TypeAlias = int | tuple[int, ...]


class Number(NamedTuple):
    """Limits of a number."""

    low: float
    high: float
    is_whole: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether it is a number, a whole one if need be, within the limits."""
        kinds = int if self.is_whole else int | float
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high

    def __str__(self) -> str:
        """In words."""
        return f"a {'whole ' * self.is_whole}number in [{self.low:g}, {self.high:g}]"


class Span(NamedTuple):
    """Limits of a range from which a number is drawn."""

    low: float
    high: float

    def accepts(self, value: Any) -> bool:
        """Whether these are two numbers in order, within the limits."""
        limit = Number(self.low, self.high)
        is_pair = isinstance(value, list | tuple) and len(value) == 2
        return is_pair and all(map(limit.accepts, value)) and value[0] <= value[1]

    def __str__(self) -> str:
        """In words."""
        return f"[lowest, highest] in [{self.low:g}, {self.high:g}]"


class Shade(NamedTuple):
    """Limits of a colour."""

    def accepts(self, value: Any) -> bool:
        """Whether it is 0 to 255, for all channels or for each of three."""
        limit = Number(0, 255, is_whole=True)
        is_colour = isinstance(value, list | tuple) and len(value) == 3
        return limit.accepts(value) or (is_colour and all(map(limit.accepts, value)))

    def __str__(self) -> str:
        """In words."""
        return "a whole number in [0, 255] or three of them"


class Choice(NamedTuple):
    """Names of which one is chosen."""

    names: tuple[str, ...]


class Entries(NamedTuple):
    """A list of augmentations."""
