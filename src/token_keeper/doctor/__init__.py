"""What may be wrong with a token volume, and what to do about it: checks that change nothing."""

from token_keeper.doctor.examination import examine
from token_keeper.doctor.finding import Finding

__all__ = ["Finding", "examine"]
