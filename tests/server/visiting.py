"""A browser (Debian's chromium) that visits the page of a library, and what must hold of every visit.

No request leaves this machine, and nothing breaks the content security policy or raises an error.
"""

import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from gaid.server.app import make_app
from gaid.server.guard import Rules

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--mute-audio",
)  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def server(library):
    """The address of the library on loopback."""
    uvicorn = pytest.importorskip("uvicorn")
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    app = make_app(library, Rules(frozenset({"127.0.0.1", "localhost"})))
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://{host}:{port}"
    running.should_exit = True
    thread.join(20)
    listening.close()


@pytest.fixture(scope="module")
def tab(server):
    """One page of one browser, which all tests share: a start takes longer than a test."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip("needs Debian's package chromium")
    with playwright.sync_playwright() as control:
        browser = control.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page()
        page.set_default_timeout(60000)  # a busy machine
        one = Visit(page, server)
        page.on("request", lambda request: one.requests.append(request.url))
        page.on("pageerror", lambda error: one.faults.append(str(error)))
        page.on("console", lambda line: one.faults.append(line.text) if "Security Policy" in line.text else None)
        yield one
        browser.close()


@dataclass
class Visit:
    """A page, and what it did."""

    page: "Page"
    server: str
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def look(self, viewport, scheme="light"):
        """Sets the size of the screen, and whether it is light or dark."""
        self.page.set_viewport_size(viewport)
        self.page.emulate_media(color_scheme=scheme)

    def go(self, **asked):
        """Opens the page at a search."""
        self.page.goto(f"{self.server}/?{urlencode(asked)}")
        if asked:
            self.page.wait_for_selector("#hits button.open")
        return self.page

    def names(self):
        """The clips that are listed, in their order."""
        return self.page.locator("#hits button.open").all_inner_texts()

    def wait_for(self, names):
        """Waits until these clips are listed, in any order."""
        self.page.wait_for_function(
            "names => JSON.stringify([...document.querySelectorAll('#hits button.open')].map(one => one.innerText).sort())"
            " === JSON.stringify(names)",
            arg=sorted(names),
        )

    @property
    def asked(self):
        """What the page's address asks for."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def card(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def has_focus(self, selector):
        self.page.wait_for_function("one => document.activeElement.matches(one)", arg=selector)

    def play(self, name):
        """Opens a clip and waits until it runs; returns where in the clip's source it began."""
        self.card(name).click()
        return self.began()

    def began(self):
        self.page.wait_for_function("() => document.querySelector('video').played.length > 0")
        return self.page.evaluate("() => document.querySelector('video').played.start(0)")


@pytest.fixture
def visit(tab):
    """The page, wide and light until `look` makes it otherwise."""
    tab.look(WIDE, "light")
    yield tab
    tab.page.unroute_all(behavior="ignoreErrors")
    tab.page.goto("about:blank")
    requests, faults = list(tab.requests), list(tab.faults)
    tab.requests.clear()
    tab.faults.clear()
    assert [url for url in requests if not url.startswith((f"{tab.server}/", f"blob:{tab.server}/", "about:"))] == []
    assert faults == []
