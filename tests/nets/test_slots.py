"""The trie of computed cells: what is held stays, what nobody holds is free."""

import random

from anyorder.nets.slots import BLOCK, ROOT, Slots


def grow(slots: Slots, tokens: list[int], slot: int = ROOT) -> list[int]:
    """Compute a path and hold its tip only, as a net does."""
    made = []
    for token in tokens:
        slot = slots.add(slot, token)
        made.append(slot)
    for slot in made[:-1]:
        slots.release(slot)
    return made


def test_a_path_is_found_again_and_spells_its_tokens() -> None:
    slots = Slots()
    made = grow(slots, [5, 6, 7])
    assert slots.walk(ROOT, [5, 6, 7, 8]) == made
    assert slots.walk(ROOT, [5, 9]) == made[:1]
    assert [slots.depth[s] for s in made] == [0, 1, 2]


def test_letting_go_of_a_tip_frees_up_to_the_fork() -> None:
    slots = Slots()
    stem = grow(slots, [1, 2])
    left, right = grow(slots, [3, 4], stem[-1]), grow(slots, [5], stem[-1])
    slots.release(stem[-1])
    slots.release(left[-1])
    assert slots.find(stem[-1], 3) is None
    assert slots.walk(ROOT, [1, 2, 5]) == [*stem, *right]
    assert slots.used == 3
    slots.release(right[-1])
    assert slots.used == 0


def test_texts_that_grow_side_by_side_lie_in_blocks_of_their_own() -> None:
    slots, tips = Slots(), [ROOT, ROOT, ROOT]
    ways: list[list[int]] = [[], [], []]
    for i in range(2 * BLOCK):
        for text in range(3):
            tips[text] = slots.add(tips[text], 100 * text + i)
            ways[text].append(tips[text])
    for way in ways:
        breaks = [i for i in range(1, len(way)) if way[i] != way[i - 1] + 1]
        assert breaks in ([], [BLOCK])


def test_empty_blocks_are_taken_again_before_new_ones() -> None:
    slots = Slots()
    first, second = grow(slots, [1, 2]), grow(slots, [3])
    slots.release(first[-1])
    assert grow(slots, [4, 5, 6]) == [0, 1, 2]
    assert second == [BLOCK]
    assert slots.top == 2 * BLOCK


def test_every_slot_is_used_before_there_are_none() -> None:
    slots = Slots(2 * BLOCK + 5)
    texts = [grow(slots, [10 + i]) for i in range(2 * BLOCK + 5)]
    assert sorted(slot for text in texts for slot in text) == list(range(2 * BLOCK + 5))
    for (slot,) in texts[::2]:
        slots.release(slot)
    again = [grow(slots, [500 + i])[0] for i in range(len(texts[::2]))]
    assert sorted(again) == sorted(slot for (slot,) in texts[::2])


def test_ten_thousand_random_events_leak_no_slot_and_lose_no_text() -> None:
    rng, slots = random.Random(0), Slots(3000)
    held: list[tuple[int, list[int]]] = []  # a tip and its text
    for _ in range(10_000):
        if held and rng.random() < 0.52:
            slots.release(held.pop(rng.randrange(len(held)))[0])
            continue
        text = list(rng.choice(held)[1]) if held and rng.random() < 0.7 else []
        text += [rng.randrange(3) for _ in range(rng.randrange(1, 5))]
        known = slots.walk(ROOT, text)
        tip = known[-1] if known else ROOT
        if len(known) < len(text):
            tip = grow(slots, text[len(known) :], tip)[-1]
        else:
            slots.hold(tip)
        held.append((tip, text))
    assert held
    for tip, text in held:
        way = slots.walk(ROOT, text)
        assert len(way) == len(text)
        assert way[-1] == tip
    for tip, _ in held:
        slots.release(tip)
    assert slots.used == 0
