"""insmod and rmmod in one process: what is undone, counted, refused and named."""

from dataclasses import astuple
from pathlib import Path

import pytest

from cpus import event_cy, spinlock_cy
from cpus.errors import ConfigError
from interrupts import irq_cy
from smpmm import (
    chrdev,
    driver_side,
    frozen,
    module,
    module_table_cy,
    namespace,
    objfile,
    symbols,
    text,
)
from smpmm.config import make_config
from smpmm.fops import file_operations
from smpmm.mm import cache_cy, page_alloc_cy, page_calls_cy
from tests.support import small_machine

HEAD = "from smpmm.kernel import *\n"
EMPTY = HEAD + "@module_init\ndef init():\n    return 0\n"


@pytest.fixture
def kernel():
    for table in (namespace._spaces, namespace._serials, text._symbols, text._by_name):
        table.clear()
    text._by_digest.clear()
    text._registered.clear()
    config = make_config(cpus=1, mem="4M")
    small_machine(
        spinlock_cy,
        page_alloc_cy,
        cache_cy,
        irq_cy,
        driver_side,
        ram_bytes=config.ram_bytes,
        config=config,
    )
    yield
    symbols.leave_machine()


def insmod(source: str, name: str = "drv", **given: object) -> None:
    image = objfile.compile_source(name, f"{name}.py", source, given)
    module.insmod(*astuple(image))


def test_init_and_exit_run_and_the_table_shows_the_module(kernel) -> None:
    insmod(EMPTY + "@module_exit\ndef gone():\n    printk('gone\\n')\n")
    assert module.modules_text().split()[0] == "drv"
    assert module.modules_text().endswith(" 0 (unused)\n")
    assert not module.rmmod("drv")
    assert module.modules_text() == ""
    assert "gone\n" in event_cy.dmesg()


def test_a_module_costs_pages_and_gives_them_back(kernel) -> None:
    before = page_calls_cy.nr_free_pages()
    insmod(EMPTY)
    assert page_calls_cy.nr_free_pages() < before
    module.rmmod("drv")
    assert page_calls_cy.nr_free_pages() == before


def test_init_s_errno_undoes_the_module_and_is_named(kernel) -> None:
    with pytest.raises(OSError, match="insmod drv: init_module: Cannot allocate") as caught:
        insmod(HEAD + "@module_init\ndef init():\n    return -ENOMEM\n")
    assert caught.value.errno == 12
    assert module.modules_text() == ""
    insmod(EMPTY)


def test_the_same_name_twice_is_refused(kernel) -> None:
    insmod(EMPTY)
    with pytest.raises(FileExistsError, match="a module named drv already exists"):
        insmod(EMPTY)


def test_a_module_in_use_cannot_be_removed(kernel) -> None:
    insmod(
        EMPTY + "def use():\n    MOD_INC_USE_COUNT()\ndef free():\n    MOD_DEC_USE_COUNT()\n"
    )
    space = namespace.known(1)
    space["use"]()
    with pytest.raises(OSError, match="rmmod: module drv is in use 1 times") as caught:
        module.rmmod("drv")
    assert caught.value.errno == 16
    space["free"]()
    space["free"]()
    module.rmmod("drv")


def test_this_module_is_its_own_and_counts_its_uses(kernel) -> None:
    insmod(EMPTY + "own = THIS_MODULE\n")
    own = namespace.known(1)["own"]
    assert own.name == "drv" and own.address == module_table_cy.module_info(1)["chunks"][0][0]
    own.usecount = 3
    assert own.usecount == 3
    own.usecount = -1
    assert own.usecount == 0


def test_memory_that_is_not_freed_is_named_by_call_site(kernel) -> None:
    insmod(
        HEAD
        + "@module_init\ndef init():\n"
        + "    for i in range(3):\n        kmalloc(40, GFP_KERNEL)\n"
        "    __get_free_pages(GFP_KERNEL, 2)\n    return 0\n"
    )
    report = module.rmmod("drv")
    assert [str(leak) for leak in report.leaks] == [
        "3 objects of size-64 from init (drv.py:5), 192 bytes",
        "1 block of 4 pages from init (drv.py:6), 16384 bytes",
    ]
    assert report.nr_bytes == 16384 + 192
    assert "drv: 3 objects of size-64 from init (drv.py:5)" in event_cy.dmesg()


def test_a_cache_that_is_not_destroyed_is_named(kernel) -> None:
    insmod(
        HEAD
        + "@module_init\ndef init():\n"
        + "    kmem_cache_create('drv_cache', 64, 0, 0, None, None)\n    return 0\n"
    )
    (leak,) = module.rmmod("drv").leaks
    assert str(leak) == "1 cache drv_cache, not destroyed, from init (drv.py:4)"


def test_state_in_python_is_refused_by_name_and_line(kernel) -> None:
    with pytest.raises(frozen.FrozenStateError) as caught:
        insmod(EMPTY + "n = 0\ndef write():\n    global n\n    n += 1\n")
    assert "drv.py:8: write() rebinds the global 'n'" in str(caught.value)
    assert module.modules_text() == ""


def test_init_may_rebind_and_its_globals_are_shipped(kernel) -> None:
    insmod(HEAD + "n = 0\n@module_init\ndef init():\n    global n\n    n = 5\n    return 0\n")
    namespace.forget(1)
    module._loaded.clear()
    assert module.find(1)["n"] == 5


def test_text_parameters_are_given_before_any_function_runs(kernel) -> None:
    source = HEAD + "who = 'me'\nMODULE_PARM('who', 's')\n@module_init\ndef init():\n"
    insmod(source + "    printk(f'I am {who}\\n')\n    return 0\n", who="root")
    assert "I am root" in event_cy.dmesg()


def test_an_unknown_parameter_is_refused_before_anything_runs(kernel) -> None:
    with pytest.raises(ConfigError, match="insmod drv: invalid parameter parm_x"):
        insmod(EMPTY, x=1)


def test_a_module_without_init_is_refused(kernel) -> None:
    with pytest.raises(ConfigError, match="no @module_init"):
        insmod(HEAD)


def test_an_unknown_module_names_the_bundled_ones() -> None:
    with pytest.raises(ConfigError, match="no module by that name; bundled are scull, scullc"):
        objfile.find_source("scul")


def test_dynamic_majors_go_down_from_254(kernel) -> None:
    fops, other = file_operations(), file_operations()
    assert chrdev.register_chrdev(0, "a", fops) == 254
    assert chrdev.register_chrdev(0, "b", fops) == 253
    assert chrdev.register_chrdev(254, "c", other) == -16
    assert chrdev.register_chrdev(254, "a", fops) == 0
    assert chrdev.register_chrdev(255, "d", other) == -22
    assert chrdev.register_chrdev(42, "e", fops) == 0
    assert chrdev.devices_text() == (
        "Character devices:\n 42 e\n253 b\n254 a\n\nBlock devices:\n"
    )
    assert chrdev.unregister_chrdev(254, "b") == -22
    assert chrdev.unregister_chrdev(254, "a") == 0
    assert chrdev.register_chrdev(0, "f", fops) == 254


def test_nodes_are_made_by_name_and_by_mknod(kernel) -> None:
    chrdev.register_chrdev(254, "scull", file_operations())
    assert chrdev.lookup("/dev/scull") == 254 << 8
    assert chrdev.lookup("/dev/scull3") == 254 << 8 | 3
    for path in ("/dev/scull03", "/dev/scull256", "/dev/scullx", "/dev/", "scull"):
        with pytest.raises(FileNotFoundError):
            chrdev.lookup(path)
    chrdev.mknod("/dev/other", 254, 7)
    assert chrdev.lookup("/dev/other") == 254 << 8 | 7
    with pytest.raises(FileExistsError):
        chrdev.mknod("/dev/other", 254, 7)


def test_a_device_left_registered_is_named(kernel) -> None:
    insmod(
        HEAD
        + "fops = file_operations(owner=THIS_MODULE)\n@module_init\ndef init():\n"
        + "    register_chrdev(0, 'drv', fops)\n    return 0\n"
    )
    assert chrdev.devices() == [(254, "drv", 1)]
    (leak,) = module.rmmod("drv").leaks
    assert str(leak) == "1 character device drv, major 254, still registered"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("\x7fELF\n", r"insmod drv: drv\.py, line 1, cannot be compiled: .*ELF"),
        ("int x;\0", r"insmod drv: drv\.py.* cannot be compiled: .*null bytes"),
        (EMPTY + "return 5\n", r"cannot be compiled: 'return' outside function"),
        (
            HEAD
            + "n = 0\nMODULE_PARM('n', 'i')\ndef f():\n    global n\n    return (n := 5)\n",
            r"drv\.py cannot be compiled: line \d+: assign n in a statement",
        ),
    ],
)
def test_a_file_that_is_not_python_is_named(source: str, told: str) -> None:
    for _ in range(2):  # the first leaves no half-loaded module
        with pytest.raises(ConfigError, match=told):
            insmod(source)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "firmware.py"
    path.write_bytes(b"\x7fELF\xff\xfe\0")
    with pytest.raises(ConfigError, match=f"insmod: {path} is no Python source: "):
        objfile.find_source(str(path))
