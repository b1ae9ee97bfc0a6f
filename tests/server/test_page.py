"""The page of `gaid serve` in a real browser: search, play, seek, filters, links, keyboard, accessibility."""

import base64
import json
import re
import urllib.request
from urllib.parse import urlencode

import pytest
from PIL import Image

from tests.media_maker import tone, write_sound
from tests.server.visiting import NARROW, WIDE

NEAR = 0.06  # s: a picture of the clips lasts 0.04

DROP = """([data, name, type]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0))], name, { type }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true }));
}"""

pytestmark = [pytest.mark.slow, pytest.mark.debian]


def get(server, path, **asked):
    with urllib.request.urlopen(f"{server}/api/{path}?{urlencode(asked)}") as answer:
        return json.load(answer)


def found(server, **asked):
    """The hits of the API by the clips' ids."""
    return {hit["video"]: hit for hit in get(server, "search", **asked)["hits"]}


def test_results_come_as_one_types(visit, server):
    one = visit
    page = one.go()
    one.has_focus("#q")
    page.keyboard.type("a number in a picture", delay=5)
    one.wait_for(["plain", "mute", "web", "old"])
    hits = get(server, "search", q="a number in a picture")["hits"]
    assert one.names() == [hit["video"].rpartition("/")[2] for hit in hits]
    assert one.asked == {"q": "a number in a picture"}
    assert re.search(r"clip.* · \d+\.\d\d s", page.locator("#status").inner_text())
    searches = [url for url in one.requests if "/api/search?" in url]
    assert len(searches) < 5  # not one for each letter
    page.wait_for_function("() => [...document.querySelectorAll('.frames img')].every(one => one.naturalWidth > 0)")


def test_an_older_search_is_given_up(visit):
    one = visit
    page = one.go()
    signals = "() => window.signals.map(signal => signal.aborted)"
    page.evaluate(
        "() => { window.signals = []; const fetch = window.fetch;"
        " window.fetch = (address, options) => { if (`${address}`.includes('/search?')) signals.push(options.signal);"
        " return fetch(address, options); }; }"
    )
    page.route("**/api/search?*slow*", lambda route: None)  # is never answered
    page.keyboard.type("slow")
    page.wait_for_function("() => window.signals.length === 1")
    assert page.evaluate(signals) == [False]
    page.locator("#q").fill("quick")
    one.wait_for(["plain", "mute", "web", "old"])
    assert page.evaluate(signals) == [True, False]
    assert one.asked == {"q": "quick"}


@pytest.mark.parametrize("name", ["plain", "web"])
def test_a_clip_plays_from_its_moment_and_the_strip_seeks(visit, server, name):
    one = visit
    page = one.go(q="a dog")
    hit = next(hit for clip, hit in found(server, q="a dog").items() if clip.endswith(name))
    moment = hit["moment"] or [0.0, hit["duration"]]
    assert abs(one.play(name) - moment[0]) < NEAR
    page.evaluate("() => document.querySelector('video').pause()")
    page.wait_for_selector("#strip rect.picture")
    strip = page.get_by_role("slider", name="Position in the clip")
    box = strip.bounding_box()
    strip.click(position={"x": 0.75 * box["width"], "y": 20})
    at = "() => document.querySelector('video').currentTime"
    page.wait_for_function(f"wanted => Math.abs(({at})() - wanted) < {NEAR}", arg=0.75 * hit["duration"])
    strip.press("ArrowLeft")  # a frame of four
    page.wait_for_function(f"wanted => Math.abs(({at})() - wanted) < {NEAR}", arg=0.5 * hit["duration"])
    assert strip.get_attribute("aria-valuetext").endswith(f"of {hit['duration']:.1f} s")
    assert page.locator("#strip rect.picture").count() == 4


def test_what_no_browser_plays_is_shown_as_a_preview_from_the_moment(visit, server):
    one = visit
    page = one.go(q="a dog")
    hit = found(server, q="a dog")["parts/old"]
    moment = hit["moment"] or [0.0, hit["duration"]]
    one.play("old")
    assert "/preview?" in page.evaluate("() => document.querySelector('video').currentSrc")
    now = float(page.locator("#strip").get_attribute("aria-valuenow"))
    assert moment[0] - NEAR < now <= hit["duration"] + NEAR
    assert page.locator("#player-fault").is_hidden()


def test_filters_narrow_a_search_and_can_be_cleared(visit):
    one = visit
    page = one.go(q="a dog")
    page.get_by_label("Folder").fill("parts")
    page.get_by_label("Folder").press("Enter")
    one.wait_for(["web", "old"])
    assert one.asked == {"q": "a dog", "folder": "parts"}
    page.get_by_role("button", name="Clear filters").click()
    one.wait_for(["plain", "mute", "web", "old"])
    page.get_by_label("Length from").fill("1.5")
    page.get_by_label("Length from").press("Tab")
    one.wait_for(["plain"])
    page.get_by_label("File changed until").fill("1999-12-31")
    page.get_by_label("File changed until").press("Tab")
    one.wait_for([])
    assert page.locator("#status").inner_text().startswith("No clip passes the filters")
    assert one.asked == {"q": "a dog", "longer": "1.5", "until": "1999-12-31"}


def test_a_sense_can_be_chosen(visit, server):
    one = visit
    page = one.go(q="a dog")
    page.get_by_text("Sound", exact=True).click()
    page.wait_for_function("() => location.search.includes('sense=sound')")
    expected = [clip.rpartition("/")[2] for clip in found(server, q="a dog", sense="sound")]
    page.wait_for_function(
        "names => JSON.stringify([...document.querySelectorAll('#hits button.open')].map(one => one.innerText))"
        " === JSON.stringify(names)",
        arg=expected,
    )


def test_more_like_this_is_a_link_that_back_leaves_and_forward_repeats(visit, world):
    one = visit
    page = one.go(q="a dog")
    page.get_by_role("button", name="More like mute").click()
    page.wait_for_function("() => document.querySelector('#hits button.open').innerText === 'mute'")
    assert one.asked == {"like": world.key("mute")}
    assert page.locator("#example").inner_text() == "like mute"
    one.has_focus("#hits li:first-child button.open")
    page.go_back()
    page.wait_for_function("() => document.querySelector('#q').value === 'a dog'")
    assert one.asked == {"q": "a dog"}
    page.go_forward()
    page.wait_for_function("() => document.querySelector('#example-name').innerText === 'like mute'")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("#hits button.open")
    assert one.names()[0] == "mute"
    assert page.locator("#example").inner_text() == "like mute"


def test_a_link_repeats_sentence_sense_and_filters(visit):
    asked = {
        "q": "a dog -cat",
        "sense": "picture",
        "folder": "parts",
        "longer": "0.5",
        "shorter": "9",
        "since": "2001-02-03",
    }
    one = visit
    page = one.go(**asked)
    one.wait_for(["web", "old"])
    assert one.asked == asked
    for name in ("q", "folder", "longer", "shorter", "since"):
        assert page.locator(f"#{name}").input_value() == asked[name]
    assert page.locator("#sense-picture").is_checked()


def test_a_picture_that_is_chosen_and_a_sound_that_is_dropped_are_searched_by(visit, tmp_path):
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "teal.png")
    sound = write_sound(tmp_path / "tone.wav", tone(1.0, 16000), 16000)
    one = visit
    page = one.go()
    with page.expect_request("**/api/search/picture?*") as sent:
        page.locator("#file").set_input_files(tmp_path / "teal.png")
    assert sent.value.method == "POST"
    one.wait_for(["plain", "mute", "web", "old"])
    assert page.locator("#example-name").inner_text() == "teal.png"
    page.get_by_role("button", name="Leave out the example").click()
    one.wait_for([])
    page.go_back()  # the file is kept while the page is open
    one.wait_for(["plain", "mute", "web", "old"])
    with page.expect_response("**/api/search/sound?*") as answer:
        page.evaluate(DROP, [base64.b64encode(sound.read_bytes()).decode(), "tone.wav", "audio/wav"])
    page.wait_for_function("() => document.querySelector('#example-name').innerText === 'tone.wav'")
    hits = [hit["video"].rpartition("/")[2] for hit in answer.value.json()["hits"]]
    one.wait_for(hits)
    assert one.names() == hits
    page.evaluate(DROP, ["", "notes.txt", "text/plain"])
    page.get_by_text("notes.txt is neither a picture nor a sound").wait_for()


def test_what_is_said_in_a_clip_is_shown(visit, server):
    one = visit
    answer = get(server, "search", q="a dog")
    senses = {"picture": 0.2, "sound": 0.1, "speech": 0.3}
    answer["hits"][0] |= {"words": "see you <b>later</b>", "senses": senses, "carried": "speech"}
    one.page.route("**/api/search?*", lambda route: route.fulfill(json=answer))
    page = one.go(q="a dog")
    card = page.locator("#hits > li").first
    assert card.locator("blockquote").inner_text() == "see you <b>later</b>"
    assert card.locator(".badge.carried").inner_text().split() == ["by", "speech", "+0.300"]


def test_everything_can_be_done_by_the_keyboard(visit):
    one = visit
    page = one.go()
    page.locator("#about-open").focus()
    page.keyboard.press("/")
    one.has_focus("#q")
    page.keyboard.type("a dog")
    one.wait_for(["plain", "mute", "web", "old"])
    names = one.names()
    page.keyboard.press("ArrowDown")
    one.has_focus("#hits li:nth-child(1) button.open")
    page.keyboard.press("ArrowRight")
    one.has_focus("#hits li:nth-child(2) button.open")
    page.keyboard.press("Enter")
    page.wait_for_selector("#player:not([hidden])")
    assert page.locator("#player-title").inner_text() == names[1]
    one.has_focus("#hits li:nth-child(2) button.open")  # it stays where it was
    one.began()
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("Escape")  # the list of keys first, then the player
    page.wait_for_selector("#help:not([open])", state="attached")
    assert page.locator("#player").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#player", state="hidden")
    one.has_focus("#hits li:nth-child(2) button.open")
    page.keyboard.press("m")
    page.wait_for_function("name => document.querySelector('#hits button.open').innerText === name", arg=names[1])
    one.has_focus("#hits li:nth-child(1) button.open")
    page.keyboard.press("ArrowUp")
    one.has_focus("#q")


def test_on_a_narrow_screen_the_player_covers_the_page_and_gives_the_focus_back(visit):
    one = visit
    one.look(NARROW)
    page = one.go(q="a dog")
    one.card("plain").click()
    one.has_focus("#player-close")
    box = page.locator("#player").bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, NARROW["width"], NARROW["height"])
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("() => !document.activeElement.closest('main, header, .skip')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#player", state="hidden")
    assert page.evaluate("() => document.activeElement.innerText") == "plain"
    assert page.evaluate("() => document.documentElement.scrollWidth") == NARROW["width"]


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(visit, viewport, scheme):
    one = visit
    one.look(viewport, scheme)
    page = one.go(q="a dog")
    if viewport is NARROW:  # where the player covers the results
        page.get_by_role("button", name="Filters").click()
        check(page)
    one.play("plain")
    page.wait_for_selector("#strip rect.picture")
    check(page)


def test_axe_finds_no_fault_in_the_dialogues(visit):
    page = visit.go()
    for name in ("What the scores rest on", "Keyboard"):
        page.get_by_role("button", name=name).click()
        check(page)
        page.keyboard.press("Escape")


def check(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    violations = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []


def test_that_nothing_fits_is_said(visit, server):
    one = visit
    answer = get(server, "search", q="a dog")
    one.page.route("**/api/search?*", lambda route: route.fulfill(json=answer | {"fitting": 0}))
    page = one.go(q="a dog")
    assert page.locator("#status").inner_text().startswith("Nothing fits. These are the nearest 4 clips")
    one.page.route("**/api/search?*", lambda route: route.fulfill(json=answer | {"fitting": 2}))
    page.locator("#q").fill("a cat")
    page.wait_for_selector("#hits .edge")
    assert page.locator("#status").inner_text().startswith("2 clips fit")
    assert page.locator("#hits > li").nth(2).get_attribute("class") == "edge"


def test_errors_and_an_empty_library_are_said(visit, server):
    one = visit
    page = one.go()
    page.locator("#q").fill("-music")
    page.wait_for_selector("#fault:not([hidden])")
    assert "only says what to leave out" in page.locator("#fault").inner_text()
    page.route("**/api/search?*", lambda route: route.abort())
    page.locator("#q").fill("a dog")
    page.get_by_text("The server does not answer").wait_for()
    empty = get(server, "library") | {"clips": 0}
    page.goto("about:blank")
    page.route("**/api/library", lambda route: route.fulfill(json=empty))
    one.go()
    page.get_by_text("This library has no clips yet").wait_for()


def test_what_the_scores_rest_on_can_be_read(visit, server):
    one = visit
    page = one.go()
    page.get_by_role("button", name="What the scores rest on").click()
    notes = page.locator("#about-notes li").all_inner_texts()
    assert notes == get(server, "library")["notes"]
    assert any("do not share a space" in note for note in notes)
