"""Words to be made into a sentence: 24 everyday scenes of eight words, and rare words of four fields."""

from __future__ import annotations

_SCENES = """
    dog park ball throw stick grass run leash
    kitchen pot soup spoon stove cook salt bowl
    beach sand wave towel swim shell sun umbrella
    school teacher pupil book desk write lesson pencil
    garden flower water seed soil plant grow rain
    train station ticket travel seat window suitcase platform
    bed pillow sleep dream blanket night lamp quiet
    market apple buy basket price fresh farmer bread
    doctor nurse patient hospital medicine sick help bandage
    football team goal kick player field score coach
    birthday cake candle friend gift party sing balloon
    office computer letter meeting boss work phone paper
    farm cow milk barn horse hay tractor fence
    forest tree bird nest branch leaf path squirrel
    winter snow coat glove cold ice scarf sled
    car road drive wheel engine garage fast driver
    house door key roof wall room paint open
    restaurant waiter table menu order eat plate dinner
    library shelf read story page quiet borrow novel
    river boat fish bridge row fisherman net swim
    concert guitar song stage music crowd dance singer
    mountain climb rock rope view tent hike trail
    baby mother cradle toy cry laugh milk sleep
    bakery oven flour dough bake cookie sugar baker
"""
SCENES = tuple(tuple(line.split()) for line in _SCENES.strip().splitlines())
_FIELDS = {
    "science": """
        algorithm catalyst electron enzyme equation fossil genome hypothesis isotope magnet molecule neutron
        nucleus orbit paradox particle photon plasma polymer prism quantum radius satellite spectrum synapse
        tensor theorem turbine vacuum vector
    """,
    "arts": """
        allegory ballad canvas chord collage fresco haiku harmony irony lyric mandolin melody metaphor mosaic
        mural opera orchestra palette pastel pottery prologue sculpture silhouette sonata sonnet symphony
        tapestry tempo trombone waltz
    """,
    "nature": """
        avalanche basalt blizzard canyon cavern coral cyclone delta drought dune eclipse estuary fern fjord
        geyser glacier granite hurricane lagoon lichen mangrove marsh moss nectar pebble reef spore tundra
        vineyard volcano
    """,
    "society": """
        alibi ambassador amnesty bankruptcy charter citizenship consensus contract curfew decree diplomat
        dynasty embargo envoy heritage inflation jury liberty mandate merchant monarchy parliament patent
        pension ransom senate tariff treaty tribunal veto
    """,
}
RARE = {field: tuple(words.split()) for field, words in _FIELDS.items()}
