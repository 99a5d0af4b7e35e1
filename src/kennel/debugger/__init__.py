"""Debugger and profiler: what a training records of itself, and the rules that judge it.

`recorder`, `sampler` and `steps` work inside a training; `trial` and `profile` read what they left (or what AWS did);
`rules` and `profiler_rules` are pure functions of that; `evaluation` puts them together, also while a job runs.
Importing any of them imports neither torch nor smdebug.
"""
