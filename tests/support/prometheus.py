"""Reading what /metrics says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scraped:
    """One scrape."""

    families: dict[str, Metric]

    @classmethod
    def of(cls, text: str) -> Scraped:
        """Raises ValueError for what is not the format, AssertionError for a family that is there twice."""
        families = list(text_string_to_metric_families(text))
        named = {family.name: family for family in families}
        assert len(named) == len(families)
        return cls(named)

    def values(self, name: str, **labels: str) -> list[float]:
        """Of every sample with this name and these labels (there may be others)."""
        return [value for found, value in self._samples(name) if labels.items() <= found.items()]

    def total(self, name: str, **labels: str) -> float:
        return sum(self.values(name, **labels))

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Label's value -> the sum of the samples that have it; zeros left out."""
        sums: dict[str, float] = {}
        for found, value in self._samples(name):
            if value and labels.items() <= found.items():
                sums[found[label]] = sums.get(found[label], 0) + value
        return sums

    def _samples(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name:
                    yield dict(sample.labels), sample.value
