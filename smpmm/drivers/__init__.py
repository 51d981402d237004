"""The bundled drivers: each file is a module that `insmod` loads by its name.

`ioctl` is no driver but their common header: command numbers, for drivers and for programs.
"""
