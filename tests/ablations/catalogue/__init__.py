"""Every ablation, in the order of the rooms of the engine that they break."""

from tests.ablations.ablation import Ablation
from tests.ablations.catalogue.backoffs import BACKOFFS
from tests.ablations.catalogue.claiming import CLAIMING
from tests.ablations.catalogue.ending import ENDING
from tests.ablations.catalogue.leading import LEADING
from tests.ablations.catalogue.limits import LIMITS
from tests.ablations.catalogue.operating import OPERATING
from tests.ablations.catalogue.ordering import ORDERING
from tests.ablations.catalogue.rescuing import RESCUING
from tests.ablations.catalogue.settling import SETTLING
from tests.ablations.catalogue.staging import STAGING
from tests.ablations.catalogue.uniqueness import UNIQUENESS

ROOMS: dict[str, tuple[Ablation, ...]] = {
    "Claims": CLAIMING,
    "Outcomes": SETTLING,
    "Time limits and stops": ENDING,
    "Backoff": BACKOFFS,
    "Due jobs and wake-ups": STAGING,
    "Uniqueness": UNIQUENESS,
    "Limits over all nodes": LIMITS,
    "Rescue and heartbeats": RESCUING,
    "Leaders, cron and pruning": LEADING,
    "Operators, stops and data": OPERATING,
    "Orders for many jobs": ORDERING,
}

ABLATIONS: tuple[Ablation, ...] = tuple(each for room in ROOMS.values() for each in room)
