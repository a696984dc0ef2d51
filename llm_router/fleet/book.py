"""Defines FleetBook, the port of what a fleet must remember beyond the life of its controller."""

from typing import Protocol


class FleetBook(Protocol):
    """Remembers a fleet's wanted size and its launches, for any number of processes.

    Every method raises StoreError where the database does not answer.
    """

    async def wanted(self, fleet: str) -> int | None:
        """Returns the wanted number of instances; None for a fleet that never was."""

    async def want(self, fleet: str, size: int) -> None: ...

    async def last_launch(self, fleet: str) -> int:
        """Returns the number of the last launch that has begun; 0: none has."""

    async def begin_launch(self, fleet: str, at: float) -> int:
        """Stores that the next launch begins `at` (s since 1970), and returns its number.

        The number is higher than the last one and than `at`, so that no database gives out a
        number that another one has given to the same fleet before.

        It is stored before the cloud is asked: a controller that dies in between asks again with
        the same number, for which a cloud starts nothing twice.
        """
