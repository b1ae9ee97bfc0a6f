"""Turns at work: what waits together is answered together, and nobody waits for the fault of another."""

import asyncio
import threading
from itertools import chain

import pytest

from gaid.errors import DataInvalid
from gaid.server.refusal import Refusal
from gaid.server.turns import Together, Turns


class Work:
    """Answers questions in upper case. The first call waits until the line is as long as a test wants it."""

    def __init__(self):
        self.calls = []
        self.go = threading.Event()

    def __call__(self, asked):
        self.calls.append(list(asked))
        assert self.go.wait(10)
        if "bad" in asked:
            raise DataInvalid("a bad question")
        return [one.upper() for one in asked]


async def ask_all(work, questions, most=16, gone=(), waiting=64):
    """The answers to (question, group), or what was raised; `gone`: those who leave the line while the first is at work."""
    turns = Turns("test", 1, waiting, 10)
    together = Together(turns, work, most)
    try:
        tasks = [asyncio.create_task(together.take(*one)) for one in questions]
        while not work.calls:
            await asyncio.sleep(0.001)
        for place in gone:
            tasks[place].cancel()
        await asyncio.sleep(0.01)
        work.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        turns.close()


def test_what_waits_is_answered_in_one_call():
    work = Work()
    found = asyncio.run(ask_all(work, [(name, 0) for name in "abcdef"]))
    assert found == list("ABCDEF")
    assert sorted(chain(*work.calls)) == list("abcdef")  # each once
    assert len(work.calls) <= 2


def test_only_what_is_of_one_group_is_answered_together_and_no_more_than_a_call_may_hold():
    work = Work()
    found = asyncio.run(ask_all(work, [(f"{group}{number}", group) for number in range(5) for group in "xy"], most=3))
    assert found == [f"{group}{number}".upper() for number in range(5) for group in "xy"]
    assert all(len({one[0] for one in call}) == 1 and len(call) <= 3 for call in work.calls)
    assert len(work.calls) < 10


def test_whoever_is_gone_is_not_answered():
    work = Work()
    found = asyncio.run(ask_all(work, [(name, name in "cd") for name in "abcd"], gone=(2,)))
    assert isinstance(found[2], asyncio.CancelledError)
    assert [*found[:2], found[3]] == ["A", "B", "D"]
    assert "c" not in chain(*work.calls)


def test_a_fault_is_of_its_own_question_alone():
    work = Work()
    found = asyncio.run(ask_all(work, [(name, 0) for name in ("a", "bad", "b", "c")]))
    assert [found[0], *found[2:]] == ["A", "B", "C"]
    assert isinstance(found[1], DataInvalid)


def test_a_line_that_is_too_long_refuses():
    work = Work()
    found = asyncio.run(ask_all(work, [(name, 0) for name in "abc"], waiting=2))
    assert found[:2] == ["A", "B"]
    assert isinstance(found[2], Refusal)


def test_sentences_asked_at_once_get_the_answers_that_they_get_alone(client):
    sentences = ["a red square", "a bell rings", "a red square -bell", "blue", "something else that is said", ""]
    alone = [client.get("/api/search", params={"q": one, "top": 3}) for one in sentences]
    together = [None] * len(sentences)

    def ask(place):
        together[place] = client.get("/api/search", params={"q": sentences[place], "top": 3})

    threads = [threading.Thread(target=ask, args=[place]) for place in range(len(sentences))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert one.status_code == other.status_code
        if one.status_code == 200:
            before, after = one.json(), other.json()
            assert [hit["key"] for hit in before["hits"]] == [hit["key"] for hit in after["hits"]]
            for a, b in zip(before["hits"], after["hits"], strict=True):
                assert a["score"] == pytest.approx(b["score"], abs=1e-5)
            assert before["fitting"] == after["fitting"]
