"""What keeps a configuration from being a stack, and what of it the stack has not."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeproxy.config.mistakes import Mistake, Place, dotted, shown


class StackError(Exception):
    """AWS would refuse it, or it would not work there; `mistakes` holds every reason, in one line each."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the stack has not, or has otherwise."""

    where: str
    said: str

    def __str__(self) -> str:
        return f"{self.where}: {self.said}"


def mistake(place: Place, value: object, wanted: str) -> Mistake:
    """One value that AWS does not take."""
    return Mistake(dotted(place), f"got {shown(value)}", wanted)


def note(place: Place, value: object, said: str) -> Note:
    """One value that means something else on AWS, or nothing."""
    return Note(dotted(place), f"got {shown(value)}: {said}")
