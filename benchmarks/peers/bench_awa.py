"""awa, whose core is in Rust: its COPY path and its ring storage, as it documents them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awa
import common
from common import hit


@dataclass
class Noop:
    i: int = 0
    t: float | None = None


class Bench(common.Base):
    """Options: ``--opt chunk=10000``, ``--opt claimers=N``; ``--batch`` is its claim_batch_size."""

    peer, dist, import_stmt = "awa", "awa-pg", "import awa"
    best = {"concurrency": 1000}

    async def open(self, db: str) -> None:
        host = common.HOST.replace("/", "%2F")
        self.client = awa.AsyncClient(f"postgres://postgres@{host}:{common.PORT}/{db}", 10)

    async def close(self) -> None:
        await self.client.close()

    async def install(self) -> None:
        await self.client.migrate()
        await self.client.install_queue_storage()

    async def bulk(self, n: int) -> None:
        chunk = int(self.opt.get("chunk", 10_000))
        for first in range(0, n, chunk):
            jobs = [Noop(i=i) for i in range(first, min(n, first + chunk))]
            await self.client.enqueue_many_copy(jobs, queue="default")

    async def single(self, t: float) -> None:
        await self.client.insert(Noop(t=t), queue="default")

    async def worker(self) -> None:
        stopped = common.stdin_event()

        @self.client.task(Noop, queue="default")
        async def noop(job: Any) -> None:
            hit(job.args.t)

        common.mark_start()
        queue: dict[str, Any] = {"name": "default", "max_workers": self.a.concurrency}
        if "claimers" in self.opt:
            queue["claimers"] = int(self.opt["claimers"])
        if self.a.batch != 10:
            queue["claim_batch_size"] = self.a.batch
        await self.client.start([queue])
        await stopped.wait()
        await self.client.shutdown()

    # Counted in the receipts: the view awa.jobs takes minutes to read after so many small claims.
    def done_count_sql(self, lo: int) -> str:
        return (
            "SELECT (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)"
            " + (SELECT count(*) FROM awa.done_entries)"
        )

    def pending_sql(self, lo: int) -> str:
        return f"({self.done_count_sql(lo)}) < {self.a.n}"


if __name__ == "__main__":
    common.main(Bench)
