"""Every kernel call in every context of a machine: what `context_table` says comes true."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smpmm import KernelPanic, Machine, kernel, kernel_names
from tests.smp import context_harness as harness
from tests.smp import context_table as table

CASES = tuple(table.cases(kernel.__all__))
SLEEPING = "BUG: sleeping function called from invalid context at "
SCHEDULING = "BUG: scheduling while atomic: "
SCHEDULERS = ("schedule", "schedule_timeout")
RESULT_S = 60
PANICS = ("task", "spinlock", "tasklet", "hardirq")


@pytest.fixture(scope="module")
def booted() -> Iterator[Machine]:
    with Machine(cpus=2) as machine:
        yield machine


def spawn(machine: Machine, name: str, *arguments: Any) -> Any:
    # By name: the table travels to no process, each imports it.
    return machine.spawn(f"{harness.__name__}:{name}", *arguments)


def test_every_name_of_the_kernel_has_a_row() -> None:
    assert table.missing(kernel.__all__) == []
    assert table.unexported(kernel.__all__) == []


@pytest.mark.parametrize("context", table.CONTEXTS)
def test_every_call_does_what_linux_says(booted: Machine, context: str) -> None:
    cases = [(row, outcome) for row, where, outcome in CASES if where == context]
    cases = [case for case in cases if case[1] != "panic"]
    rows = [table.ROWS.index(row) for row, _outcome in cases]
    seen = spawn(booted, "run", context, rows).result(RESULT_S)
    assert len(seen) == len(cases) > 200
    wrong = [
        f"{one.label} in {context}: expected {outcome}, got {one.state} {one.error} "
        f"{one.left}: {one.report[:300]}"
        for one, (row, outcome) in zip(seen, cases, strict=True)
        if one.left or not agrees(one, row, outcome)
    ]
    assert not wrong, "\n".join(wrong)
    booted.check()


def agrees(seen: harness.Seen, row: table.Row, outcome: str) -> bool:
    """Return whether a call did what its row says; one that was not reached did not."""
    judge: dict[str, Callable[[], bool]] = {
        "ok": lambda: seen.state == "ok",
        "unchecked": lambda: seen.state in ("ok", "bug"),
        "sleep": lambda: is_sleeping(seen, row),
        "said": lambda: is_sleeping(seen, row) and row.text in seen.report,
        "bug": lambda: seen.error == row.error and row.text in seen.report,
    }
    return judge[outcome]()


def is_sleeping(seen: harness.Seen, row: table.Row) -> bool:
    # With interrupts off and nothing else the scheduler itself has no text.
    titles = (SLEEPING, SCHEDULING) if row.name in SCHEDULERS else (SLEEPING,)
    return seen.error == "SleepingInAtomic" and seen.report.startswith(titles)


@pytest.mark.parametrize("context", table.CONTEXTS)
def test_the_predicates_know_the_context(booted: Machine, context: str) -> None:
    bits = spawn(booted, "ask", context).result(RESULT_S)
    place = table.CONTEXTS.index(context)
    said = {name: bool(bits >> i & 1) for i, (name, _answers) in enumerate(table.ANSWERS)}
    assert said == {name: answers[place] for name, answers in table.ANSWERS}


@pytest.mark.parametrize("context", PANICS)
def test_a_panic_ends_the_machine_in_every_context(context: str) -> None:
    row = next(i for i, row in enumerate(table.ROWS) if row.name == "panic")
    with Machine(cpus=2) as machine:
        with pytest.raises(KernelPanic, match="^Kernel panic: context$"):
            spawn(machine, "run", context, [row]).result(RESULT_S)


def resolve_all(names: list[str]) -> list[str]:
    """Return those of the kernel's names that are no more than symbols; in a machine."""
    from smpmm import symbols

    return [name for name in names if isinstance(symbols.resolve(name), symbols.Symbol)]


def test_every_name_is_there_in_a_machine(booted: Machine) -> None:
    assert set(booted.run(resolve_all, kernel.__all__)) == table.NOT_YET


def call_missing(name: str) -> str:
    from smpmm import symbols

    try:
        symbols.resolve(name)(64, 1)
    except symbols.NotInKernel as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(kernel_names.LATER))
def test_what_only_later_kernels_have_names_the_version(booted: Machine, name: str) -> None:
    since = kernel_names.LATER[name]
    text = f"{name}() exists since Linux {since}; this machine runs 2.4.5"
    assert booted.run(call_missing, name) == text
