"""Replay: dated posts planted, rivals and figures that say how early a warning came."""
