"""Histories of true concurrency, recorded by threads and processes, and judged when all is over."""

from pgjobs_testing.simulation.histories.check import check
from pgjobs_testing.simulation.histories.model import Anomaly, History

__all__ = ["Anomaly", "History", "check"]
