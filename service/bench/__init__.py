"""The benchmark of the desk: real processes on loopback, all in one run, nothing asserted.

Timings depend on the machine; the report says which one it was.
"""
