"""Takes the pictures of the page of `gaid serve` in docs/serve.md, by Debian's chromium.

gaid serve --store stores/stamps-offline.zarr &
python docs/figures/serve.py http://127.0.0.1:8000
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required"]
QUERY, CLIP, AT = "a bird sings", "blackbird", 4.0  # AT: seconds of the clip at which the picture is taken
WIDE, NARROW = (1280, 800), (390, 760)


def play(page: Page) -> None:
    """Plays the clip and stops it in its moment."""
    page.get_by_role("button", name=CLIP, exact=True).first.click()
    page.wait_for_selector("#strip rect.sound")
    page.wait_for_function("at => Number(document.querySelector('#strip').getAttribute('aria-valuenow')) > at", arg=AT)
    page.evaluate("() => document.querySelector('video').pause()")
    page.wait_for_timeout(3000)  # until the player's controls are gone


def take(page: Page, name: str) -> None:
    """Writes what is on the screen, in 256 colours."""
    page.evaluate("() => document.activeElement.blur()")
    page.mouse.move(2, 2)
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        FOLDER / f"serve-{name}.png", optimize=True
    )


def main(address: str) -> None:
    """One picture for each size of the screen and each colour scheme."""
    with sync_playwright() as control:
        browser = control.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for width, height in (WIDE, NARROW):
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.goto(f"{address}/?q={QUERY}")
                page.wait_for_function(
                    "() => { const all = [...document.querySelectorAll('.frames img')].slice(0, 12);"
                    " return all.length && all.every(one => one.complete && one.naturalWidth > 0); }"
                )
                if (width, height) == WIDE:
                    play(page)
                take(page, f"{width}-{scheme}")
                page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
