"""Rules of the house: layers, compiled modules, style, the wheel."""
