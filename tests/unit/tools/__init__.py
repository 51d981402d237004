"""Tests of the tools, without a machine."""
