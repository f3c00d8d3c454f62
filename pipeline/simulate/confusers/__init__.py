"""Harmless things that look like attacks, one file each, as in `attacks`.

`prepare(setting)` may change rates, tokens and troubles before the run is laid out; `plan(stage)`, where there is one,
acts with single requests. A confuser belongs to the ordinary stream: the twin without attacks has it too.
"""
