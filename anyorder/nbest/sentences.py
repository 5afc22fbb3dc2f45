"""Sentences of our own, and words that sound alike, for the noise model."""

from __future__ import annotations

_ALIKE = """
    there/their/they're to/two/too hear/here write/right buy/by/bye no/know new/knew weather/whether
    see/sea son/sun one/won for/four be/bee meet/meat week/weak hole/whole red/read piece/peace
    wait/weight tail/tale flower/flour road/rode blue/blew mail/male sale/sail pair/pear hour/our
    night/knight break/brake wood/would bear/bare threw/through cereal/serial aloud/allowed
    stairs/stares steel/steal plane/plain waste/waist root/route not/knot then/than were/where
    quite/quiet loose/lose desert/dessert bread/bred ate/eight cell/sell cent/sent/scent deer/dear eye/i
    fair/fare great/grate its/it's made/maid principal/principle rain/reign sight/site some/sum
    winter/winner letter/ladder bought/brought want/won't kitchen/chicken boat/both coat/code walk/work
    live/leave this/these and/an a/the is/his in/and of/off
"""
ALIKE = tuple(tuple(group.split("/")) for group in _ALIKE.split())
SENTENCES = (
    "we would like to know whether the road is open again",
    "the baker sold the last piece of bread an hour ago",
    "please wait here until the night train has left",
    "my son ate two bowls of cereal before school",
    "their new boat has a blue sail and a steel mast",
    "she read the whole letter aloud in the kitchen",
    "it would be a waste to throw the old coat away",
    "the weather was too cold for a walk by the sea",
    "he brought a pair of boots to the principal of the school",
    "no one knew where the red car had been sold",
    "they're going to meet at the fair next week",
    "i want to see some of the great towns of the desert",
    "the deer went through the wood without a sound",
    "we bought four pears and a bag of flour at the market",
    "the maid sent the bill by mail in the winter",
    "can you hear the rain on the roof at night",
    "the driver hit the brake too late and lost a wheel",
    "a flower grew from the root near the stairs",
    "her tale about the knight and the bear was quite long",
    "it was not right to steal the weight from the shop",
    "this week the plane will leave an hour later than planned",
    "they were quiet because the eight children had to sleep",
    "the site of the old mill is for sale again",
    "i know a shorter route to the station than this one",
    "he rode his bike to work through the rain",
    "the dessert was made of pears and a little red wine",
    "some people live by the sea and never see a boat",
    "you have to write your name here and your age there",
    "the sun was so bright that it hurt her eyes",
    "the fare to the next town is two euros and ten cents",
)
