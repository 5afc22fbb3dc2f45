"""Names of our own for the waiting line: 64 first names and 64 last names, all common."""

from __future__ import annotations

_FIRST = """
    Adam Alice Amelia Andrew Anna Arthur Aaron Bella Benjamin Brian Carol Charles Chloe Clara Daniel
    David Diana Edward Elena Emily Ethan Felix Frank George Grace Hannah Harry Helen Henry Isaac Jacob
    James Jason Julia Karen Kevin Laura Leon Linda Louis Lucy Maria Martin Megan Michael Monica Nathan
    Oliver Oscar Patrick Peter Philip Rachel Robert Ruth Samuel Sarah Simon Sophie Stephen Susan
    Thomas Victor William
"""
_LAST = """
    Adams Allen Anderson Bailey Baker Barnes Bell Bennett Brooks Brown Butler Campbell Carter Clark
    Collins Cook Cooper Cox Davis Edwards Evans Fisher Foster Gray Green Hall Harris Hill Howard
    Hughes Jackson Johnson Jones Kelly King Lee Lewis Long Martin Miller Mitchell Moore Morgan Morris
    Murphy Nelson Parker Perry Phillips Price Reed Roberts Rogers Ross Scott Smith Stewart Taylor
    Thompson Turner Walker Ward Watson Wood
"""
FIRST, LAST = tuple(_FIRST.split()), tuple(_LAST.split())
PEOPLE = tuple(f"{first} {last}" for first in FIRST for last in LAST)
