"""Which version has which function, and what a version says that does not have one."""

import pytest

from smpmm import kernel_names, symbols
from smpmm.kernel import GFP_NOFS, kzalloc

# Name → versions that have it, versions that do not.
FUNCTIONS = {
    "kmalloc": ("2.0.40 2.2.18 2.4.5 2.6.11 6.1", ""),
    "kfree": ("2.0.40 2.2.18 2.4.5 2.6.11 6.1", ""),
    "kmem_cache_create": ("2.1.23 2.2.18 2.4.5 2.6.11", "2.0.40 2.1.22"),
    "kmem_cache_destroy": (
        "2.1.23 2.1.24 2.2.18 2.2.26 2.3.18 2.4.5 2.6.11",
        "2.0.40 2.1.60 2.2.0 2.2.17 2.3.0",
    ),
    "kmem_cache_reap": ("2.2.18 2.4.31", "2.0.40 2.6.0 2.6.11"),
    "ksize": ("2.5.70 2.6.11", "2.0.40 2.2.18 2.4.31"),
    "kcalloc": ("2.6.9", "2.4.31 2.6.8"),
    "kzalloc": ("2.6.14", "2.4.31 2.6.13"),
    "krealloc": ("2.6.22", "2.6.21"),
    "get_free_page": ("2.0.40 2.2.18 2.4.31", "2.6.0"),
    "get_zeroed_page": ("2.4.0 2.6.11", "2.0.40 2.2.18"),
    "__get_free_pages": ("2.0.40 2.2.18 2.4.5 2.6.11", ""),
    "__get_dma_pages": ("2.0.40 2.2.18 2.4.5 2.6.11", ""),
    "kmap": ("2.3.23 2.4.5", "2.2.18 2.3.22"),
    "alloc_bootmem": ("2.3.23 2.4.5", "2.0.40 2.2.18"),
    "vremap": ("2.0.40", "2.2.18 2.4.5"),
    "ioremap": ("2.2.18 2.4.5", "2.0.40"),
    "cli": ("2.0.40 2.4.31", "2.6.0"),
    "queue_task": ("2.0.40 2.4.31", "2.6.0"),
    "schedule_task": ("2.4.5", "2.2.18 2.6.0"),
    "might_sleep": ("2.0.40 2.4.5 2.6.11", ""),
    "preempt_disable": ("2.0.40 2.4.5 2.6.11", ""),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions(name: str) -> None:
    have, lack = (versions.split() for versions in FUNCTIONS[name])
    assert [v for v in have if kernel_names.missing(name, v)] == []
    assert [v for v in lack if not kernel_names.missing(name, v)] == []


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("kzalloc", "2.6.11", "kzalloc() exists since Linux 2.6.14; this machine runs 2.6.11"),
        ("kmem_cache_reap", "2.6.11", "kmem_cache_reap() existed until Linux 2.4"),
        ("kmem_cache_destroy", "2.2.16", "kmem_cache_destroy() exists since Linux 2.2.18"),
        ("kmem_cache_destroy", "2.3.1", "kmem_cache_destroy() exists since Linux 2.3.18"),
        ("vremap", "2.4.5", "vremap() existed until Linux 2.0"),
        ("tq_timer", "2.6.11", "tq_timer existed until Linux 2.4"),
    ],
)
def test_the_text_names_the_version(name: str, version: str, says: str) -> None:
    assert (kernel_names.missing(name, version) or "").startswith(says)


@pytest.fixture
def machine():
    symbols.enter_machine("2.4.5")
    yield
    symbols.leave_machine()


@pytest.mark.parametrize(
    "use",
    [
        lambda: symbols.resolve("GFP_NOFS") | 1,
        lambda: 1 | symbols.resolve("GFP_NOFS"),
        lambda: int(symbols.resolve("GFP_NOFS")),
        lambda: symbols.resolve("GFP_NOFS") == 0 or symbols.resolve("GFP_NOFS") + 1,
        lambda: symbols.resolve("kmalloc")(16, symbols.resolve("GFP_NOFS")),
        lambda: symbols.resolve("kzalloc")(16, 1),
    ],
)
def test_whatever_is_done_with_a_missing_name_says_so(machine, use) -> None:
    with pytest.raises(symbols.NotInKernel, match=r"exists since Linux 2\.(4\.6|6\.14)"):
        use()


def test_outside_of_a_machine_every_name_can_be_named() -> None:
    assert (repr(GFP_NOFS), repr(kzalloc)) == ("GFP_NOFS", "kzalloc")


def test_inside_star_gives_all_names(machine) -> None:
    space: dict = {}
    exec("from smpmm.kernel import *", space)
    assert isinstance(space["kzalloc"], symbols.MissingCall)
    assert space["LINUX_VERSION_CODE"] == space["KERNEL_VERSION"](2, 4, 5)
