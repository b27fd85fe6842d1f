"""So much a second: a bucket of tokens that may be overdrawn, and is then waited for."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Allowance:
    """`per_s` a second, of which `burst` at most is saved up. Times are seconds of one monotonic clock."""

    per_s: float
    burst: float
    left: float
    at: float
    """When that was left."""

    @classmethod
    def full(cls, per_s: float, burst: float, now: float) -> "Allowance":
        """One of which nothing has been taken."""
        return cls(per_s, burst, burst, now)

    def taken(self, amount: float, now: float) -> "Allowance":
        """With `amount` less, though it may not be there yet."""
        passed_s = max(0.0, now - self.at)
        left = min(self.burst, self.left + passed_s * self.per_s) - amount
        return replace(self, left=left, at=max(now, self.at))

    def wait_s(self, amount: float, now: float) -> float:
        """How long until `amount` may be taken: until there is as much, or all that can be saved up."""
        left = self.taken(0, now).left
        return max(0.0, (min(amount, self.burst) - left) / self.per_s)
