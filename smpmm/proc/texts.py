"""Small /proc files of the kernel's own: version, uptime, cmdline, ksyms."""

from __future__ import annotations

from cpus import segment_cy
from smpmm import symbols, text


def version_text() -> str:
    """Return /proc/version."""
    release = symbols.config_value("kernel", "?")
    return f"Linux version {release} (smpmm) #1 SMP\n"


def uptime_text() -> str:
    """Return /proc/uptime: seconds since boot; the second figure, idle time, is not kept."""
    return f"{segment_cy.uptime_ns() / 1e9:.2f} 0.00\n"


def cmdline_text() -> str:
    """Return /proc/cmdline."""
    return f"{symbols.config_value('cmdline', '')}\n"


def ksyms_text() -> str:
    """Return /proc/ksyms: every registered function, by address, with its module."""
    return "".join(
        f"{address:08x} {name}{f'	[{module}]' if module else ''}\n"
        for address, name, module in text.symbols()
    )
