"""The fields of `base`, each with its default and what it means.

Fields that are floats are written as floats: a field born `1` would refuse
0.25 on the command line.
"""
