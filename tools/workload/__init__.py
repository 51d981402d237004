"""What the tasks of `smpmm stress` do, inside the machine.

Everything that two tasks share lies in the machine's RAM: `Control` and what hangs on it. A
task looks at `Control.stop` between two steps, ends by itself, and returns what it counted.
"""
