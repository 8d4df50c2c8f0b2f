"""Which code runs a job: workers, their options, and the registry that names them.

A row names its worker by a string. Only workers registered in this process run, and nothing is
ever imported because a row names it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from pgjobs.rules import backoff as backoffs
from pgjobs.rules import options
from pgjobs.rules.errors import (
    ConfigurationError,
    UnknownWorkerError,
    nearest,
    reject_unknown,
    shown,
)
from pgjobs.rules.job import Job, NewJob, is_number, made_new, revised
from pgjobs.rules.jsonb import copied, normal_object
from pgjobs.rules.jsonb import merged as with_meta
from pgjobs.rules.performing import asked_refusal, refusal
from pgjobs.rules.replacing import Replace
from pgjobs.rules.schedule import duration
from pgjobs.rules.unique import META_KEY, Unique

if TYPE_CHECKING:
    from pgjobs.rules.typed import Model

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("pgjobs")

DEFAULT_QUEUE = "default"
EXECUTORS = ("async", "thread", "process")
_OWN_OPTIONS = ("timeout", "backoff", "name", "executor", "args")
_NOT_WORKER_OPTIONS = {
    "scheduled_at": "it belongs to new(...)",
    "schedule_in": "it belongs to new(...)",
}


class Worker(Generic[P, R]):
    """A function or class that performs jobs; made by ``worker``.

    Calling it calls what it wraps (``.wrapped``); ``new`` makes jobs for it.
    """

    def __init__(self, wrapped: Callable[P, R], given: Mapping[str, Any]) -> None:
        if not callable(wrapped):
            raise ConfigurationError(f"a worker is a function or a class, not {wrapped!r}")
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped, updated=())
        self._check_names(given)
        chosen_name = given.get("name")
        if chosen_name is None:
            chosen_name = _default_name(wrapped)
            if not chosen_name:
                raise ConfigurationError(
                    f"{shown(wrapped)} has no name to call a worker by: give one, as in "
                    'worker(name="shop.send")'
                )
        self.name: str = options.name(chosen_name, "a worker's name")
        chosen = {key: given[key] for key in options.WORKER_OPTIONS if key in given}
        self.defaults: dict[str, Any] = options.job_options(chosen)
        self.unique: Unique | None = self.defaults.pop("unique", None)
        self.replace: Replace = self.defaults.pop("replace", ())
        options.reject_lone_replace(self.unique, self.replace)
        self.is_class = inspect.isclass(wrapped)
        perform = getattr(wrapped, "perform", None) if self.is_class else wrapped
        if not callable(perform):
            raise ConfigurationError(
                f"worker {self.name}: a worker class has a method perform(self, job)"
            )
        if (reason := refusal(wrapped)) is not None:
            raise ConfigurationError(f"worker {self.name} {reason}")
        self.is_async = inspect.iscoroutinefunction(perform)
        self.module: str = getattr(wrapped, "__module__", None) or "__main__"
        self.executor = self._checked_executor(given.get("executor"))
        model = given.get("args")
        self._model = None if model is None else _model_of(model, self.name)
        self._check_keys(self.unique)
        self._timeout = self._checked_timeout(given.get("timeout"))
        self._backoff = self._checked_backoff(given.get("backoff"))
        if self.is_class:
            self._check_asked()
        self.has_own_backoff = self.is_class and callable(getattr(wrapped, "backoff", None))
        self.has_own_timeout = self.is_class and callable(getattr(wrapped, "timeout", None))
        if self.executor == "thread" and (self._timeout is not None or self.has_own_timeout):
            log.warning(
                "worker %s has a time limit and runs in a thread, which nothing can stop: at the limit "
                "its job fails and job.cancelled is set, but its slot stays taken until it returns; "
                'make it `async def`, or give executor="process"',
                self.name,
            )
        self._warn_of_gaps()
        self._warned_of_size = False

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.wrapped(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<worker {self.name}>"

    def new(self, args: Any = None, /, **given: Any) -> NewJob:
        """A job for this worker, not stored yet.

        ``args`` is a mapping that JSON can hold; for a worker with ``args=Model`` an instance of that
        model, or a mapping that makes one.
        Options override the worker's: ``queue max_attempts priority tags meta replace``, and one of
        ``scheduled_at`` (an aware datetime) or ``schedule_in`` (seconds or a timedelta, counted from
        the insert). ``unique`` takes what it leaves out from the worker's; None switches it off.
        ``ConfigurationError`` for an unknown or impossible option, ``InvalidJobError`` for args that
        JSON, or the model, cannot hold.
        """
        if given:
            if "args" in given:
                raise ConfigurationError(
                    f"args come first, without a name: {self.name}.new({{...}})"
                )
            reject_unknown(given, options.JOB_OPTIONS, "option of a job")
        args = {} if args is None else args
        normal = normal_object(args, "args") if self._model is None else self._model.stored(args)
        self._warn_of_size(normal)
        merged: dict[str, Any] = dict(self.defaults)
        if given:
            merged |= options.job_options(given)
        if "meta" not in given and "meta" in merged:
            merged["meta"] = copied(merged["meta"])
        if merged or self.unique is not None:
            self._make_unique(normal, merged)
        return made_new(self.name, normal, merged)

    def _make_unique(self, args: Mapping[str, Any], merged: dict[str, Any]) -> None:
        """Put the rule of this job in the place of its options, and its fingerprint into ``meta``.

        A fingerprint that came along in ``meta``, as in that of another job, is not this one's.
        """
        unique = self.unique
        if "unique" in merged:
            own: Unique | None = merged.pop("unique")
            unique = None if own is None else own.over(self.unique)
            self._check_keys(own)
        if "replace" in merged:
            options.reject_lone_replace(unique, merged["replace"])
        if unique is not None:
            rule = unique.rule(self.name, merged.get("queue", DEFAULT_QUEUE), args)
            merged["unique"] = rule
            merged.setdefault("replace", self.replace)
            own_meta, meta = {META_KEY: rule.fingerprint}, merged.get("meta")
            merged["meta"] = with_meta(meta, own_meta) if meta else own_meta
        elif META_KEY in merged.get("meta", ()):
            del merged["meta"][META_KEY]

    def _check_keys(self, unique: Unique | None) -> None:
        if self._model is not None and unique is not None:
            self._model.check_keys(unique.named_keys())

    def bound(self) -> Callable[[Job], Any]:
        """What is called with the job: the function, or ``perform`` of a new instance.

        It fills ``job.data``; args that are not the model raise ``InvalidJobError``.
        """
        wrapped: Any = self.wrapped
        perform: Callable[[Job], Any] = wrapped().perform if self.is_class else wrapped
        return perform if self._model is None else lambda job: perform(self.with_data(job))

    def check_asked(self, args: Mapping[str, Any]) -> None:
        """``ConfigurationError`` for args to look for that no stored job of this worker can have.

        Those are keys that its model has no field for; without a model any key may be.
        """
        if self._model is not None:
            self._model.check_asked(args)

    def with_data(self, job: Job) -> Job:
        """The job with its args as this worker's model in ``job.data``, if it has one."""
        if self._model is None:
            return job
        return revised(job, {"data": self._model.instance(job.args)})

    @property
    def schedule(self) -> backoffs.Backoff | None:
        """The option ``backoff``, where it is one of ours and alone decides."""
        given = self._backoff
        return given if isinstance(given, backoffs.Backoff) and not self.has_own_backoff else None

    def timeout_of(self, job: Job) -> timedelta | None:
        """The time limit of one run: the class's ``timeout(job)``, else the option."""
        if not self.has_own_timeout:
            return self._timeout
        value = cast(Any, self.wrapped)().timeout(self.with_data(job))
        return None if value is None else _limit(value, f"{self.name}.timeout")

    def backoff_s(self, job: Job, random: Callable[[], float] | None) -> float:
        """Seconds until the attempt after ``job.attempt``; a backoff that raises is replaced.

        ``random`` draws from [0, 1); None means no jitter.
        """
        try:
            if self.has_own_backoff:
                return backoffs.usable_delay(cast(Any, self.wrapped)().backoff(self.with_data(job)))
            if isinstance(self._backoff, backoffs.Backoff):
                return self._backoff(job.attempt, random)
            return backoffs.usable_delay(self._backoff(job.attempt))
        except KeyboardInterrupt:
            raise
        except BaseException:  # the engine's thread asks: nothing may end it
            log.warning(
                "the backoff of worker %s raised at attempt %d; the default is used instead",
                self.name,
                job.attempt,
                exc_info=True,
            )
            return backoffs.DEFAULT(job.attempt, random)

    @staticmethod
    def _check_names(given: Mapping[str, Any]) -> None:
        for name, remedy in _NOT_WORKER_OPTIONS.items():
            if name in given:
                raise ConfigurationError(f"worker has no option {name!r}: {remedy}")
        reject_unknown(given, (*options.WORKER_OPTIONS, *_OWN_OPTIONS), "option of worker")

    def _check_asked(self) -> None:
        """Methods of a class that the engine asks, with the job alone, and without awaiting."""
        for name in ("backoff", "timeout"):
            if inspect.iscoroutinefunction(getattr(self.wrapped, name, None)):
                raise ConfigurationError(
                    f"worker {self.name}: {name}(self, job) is asked by the engine, which cannot await: "
                    "make it `def`"
                )
            method = inspect.getattr_static(self.wrapped, name, None)
            takes = f"{name}(self, job)"
            plain = isinstance(method, FunctionType)
            if plain and (reason := asked_refusal(method, 2, takes)) is not None:
                raise ConfigurationError(f"worker {self.name}: {name} {reason}")

    def _checked_executor(self, given: object) -> str:
        if given is None:
            return "async" if self.is_async else "thread"
        if given not in EXECUTORS:
            raise ConfigurationError(
                f"worker {self.name}: executor is one of {', '.join(EXECUTORS)}, not {shown(given)}"
            )
        if given == "async" and not self.is_async:
            raise ConfigurationError(
                f'worker {self.name}: executor="async" needs `async def`; leave it out for `def`'
            )
        return str(given)

    def _checked_timeout(self, given: object) -> timedelta | None:
        return None if given is None else _limit(given, f"the timeout of worker {self.name}")

    def _checked_backoff(self, given: object) -> Callable[[int], object]:
        if given is None:
            return backoffs.DEFAULT
        if given in backoffs.MAKERS:
            name = getattr(given, "__name__", "")
            raise ConfigurationError(
                f"the backoff of worker {self.name} is backoff.{name} itself, which makes one: call it, "
                f"as in backoff.{name}({'' if name == 'guide' else '60'})"
            )
        if not callable(given):
            raise ConfigurationError(
                f"the backoff of worker {self.name} is a function of the attempt, such as "
                f"backoff.linear(60), not {shown(given)}"
            )
        what = f"the backoff of worker {self.name}"
        if inspect.iscoroutinefunction(given):
            raise ConfigurationError(
                f"{what} is asked by the engine, which cannot await: use `def`"
            )
        if not isinstance(given, backoffs.Backoff):
            takes = "one argument, the number of the attempt that failed"
            if (reason := asked_refusal(given, 1, takes)) is not None:
                raise ConfigurationError(f"{what} {reason}")
        return given

    def _warn_of_gaps(self) -> None:
        gaps = () if self.unique is None else self.unique.gaps()
        if gaps:
            log.warning(
                "worker %s: the states of unique leave out %s: a job in it does not count, so a duplicate "
                "can be inserted beside one that is not done yet; name it too, or leave states out",
                self.name,
                ", ".join(gaps),
            )

    def _warn_of_size(self, args: Mapping[str, Any]) -> None:
        if self._warned_of_size:
            return
        shown = repr(args)  # nearly as long as its JSON, and far faster to have
        if 4 * len(shown) <= options.LARGE_ARGS_BYTES:  # no character takes more bytes than that
            return
        size = len(shown) if shown.isascii() else len(shown.encode())
        if size > options.LARGE_ARGS_BYTES:
            self._warned_of_size = True
            log.warning(
                "worker %s got args of about %d bytes; args are copied with every attempt, so "
                "store large data elsewhere and pass a reference (logged once a worker)",
                self.name,
                size,
            )


@dataclass(slots=True)
class Registry:
    """Workers by name; defining one again replaces it."""

    by_name: dict[str, Worker[Any, Any]] = field(default_factory=dict)

    def add(self, worker: Worker[Any, Any]) -> None:
        self.by_name[worker.name] = worker

    def find(self, name: str) -> Worker[Any, Any]:
        """The worker of that name; ``UnknownWorkerError`` with the nearest name otherwise."""
        found = self.by_name.get(name)
        if found is None:
            raise self.unknown(name)
        return found

    def unknown(self, name: str) -> UnknownWorkerError:
        """What is wrong where there is no worker of that name."""
        hint = nearest(name, self.by_name) if self.by_name else ""
        return UnknownWorkerError(
            f"no worker named {name!r} is registered in this process{hint} "
            "(list the modules that define workers in PgJobs(workers=[...]))"
        )


REGISTRY = Registry()
"""The workers of this process."""


@overload
def worker(wrapped: Callable[P, R], /) -> Worker[P, R]: ...
@overload
def worker(**given: Any) -> Callable[[Callable[P, R]], Worker[P, R]]: ...
def worker(wrapped: Callable[..., Any] | None = None, /, **given: Any) -> Any:
    """Make a function ``f(job)``, or a class with ``perform(self, job)``, a worker.

    Options: ``queue`` ("default"), ``max_attempts`` (20), ``priority`` (0 highest to 9), ``tags``,
    ``meta``, ``unique`` (a ``Unique``), ``replace`` (a mapping of states to fields), ``timeout`` (seconds
    or timedelta), ``backoff`` (see ``pgjobs.backoff``, or a function of the failed attempt's number),
    ``name`` (default ``module.qualname``), ``executor`` ("async" for ``async def``, "thread" for ``def``, or
    "process"), ``args`` (a dataclass or pydantic model, which ``new`` checks and ``perform`` gets as
    ``job.data``). A class may have ``backoff(self, job)`` and ``timeout(self, job)``, which win over the
    options.
    """

    def define(function: Callable[..., Any]) -> Worker[Any, Any]:
        made: Worker[Any, Any] = Worker(function, given)
        REGISTRY.add(made)
        return made

    return define if wrapped is None else define(wrapped)


def worker_name(given: object) -> str:
    """The name for a worker given as an object or as a name."""
    if isinstance(given, Worker):
        return given.name
    if isinstance(given, str):
        return given
    raise ConfigurationError(
        f"a worker is given as the decorated function or class, or by its name, not as {shown(given)}"
    )


def _default_name(wrapped: Callable[..., Any]) -> str:
    """``module.qualname``; empty, which is no name, for a callable that has none."""
    module, name = getattr(wrapped, "__module__", None), getattr(wrapped, "__qualname__", None)
    if module == "__mp_main__":  # what multiprocessing calls __main__ in a process that it started
        module = "__main__"
    return f"{module}.{name}" if module and name else ""


def _model_of(model: Any, name: str) -> Model:
    from pgjobs.rules.typed import model_of  # few workers have one

    return model_of(model, name)


def _limit(value: object, what: str) -> timedelta:
    if callable(value):
        raise ConfigurationError(
            f"{what} takes seconds or a timedelta, not {shown(value)}: a limit that depends on the job is "
            "told by a class, as timeout(self, job)"
        )
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    below = is_number(seconds) and seconds <= 0
    span = timedelta(0) if below else duration(value, what)
    if span <= timedelta(0):
        raise ConfigurationError(f"{what} must be more than 0 s, not {shown(value)}")
    return span
