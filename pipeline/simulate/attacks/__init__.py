"""Attacks of the catalogue, one file each: `LEVELS` says what the difficulties are, `plan` acts it out on a stage.

`plan(stage)` returns the principal to blame and the objects concerned. A file here is an attack's name; nothing is
registered.
"""
