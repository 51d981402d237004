"""What a kernel version on an architecture decides: tables of facts, one file per subject."""
