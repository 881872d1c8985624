"""Replay: dated posts through the very code of the desk, faster than they came."""
