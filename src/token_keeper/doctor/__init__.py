"""What may be wrong with a token volume: checks that change nothing, and a repair that says what it did."""

from token_keeper.doctor.examination import examine
from token_keeper.doctor.finding import Finding
from token_keeper.doctor.mending import Action, repair

__all__ = ["Action", "Finding", "examine", "repair"]
