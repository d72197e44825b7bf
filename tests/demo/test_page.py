"""The page of `hf-rspin demo` as a visitor sees it: in a browser, on a telephone and on a desk."""

import json
import os
import socket
import time
from functools import partial
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from hf_rspin.demo.recordings import sample_utterances
from hf_rspin.demo.server import check_gradio, serve

TELEPHONE, DESK = 390, 1280
PATIENCE = 90  # seconds, of a busy machine


@pytest.fixture(scope="module")
def address(workshop):
    """The page, served as the command serves it."""
    check_gradio()
    from hf_rspin.demo.page import build_page

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve(partial(build_page, workshop, *list(workshop.places)[:2]), port) as address:
        yield address


def wait(browser, condition, message):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE, 0.2).until(lambda _: condition(), message)


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def shares(browser):
    return [one.text for one in find(browser, ".demo-share")]


def opened(browser, address, width):
    """Open the page; return when the first utterance has been listened to."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get("about:blank")  # the page before this one ends its streams, and says so
    time.sleep(0.5)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address)
    wait(browser, lambda: len(shares(browser)) == 2, "no share of changed units appeared")


def choose(browser, control, words):
    """Choose the option of a dropdown that holds the words, with mouse and keyboard."""
    (box,) = find(browser, f"#{control} input")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    box.click()
    options = wait(
        browser,
        lambda: [one for one in find(browser, "[role=option]") if words in one.text],
        f"{control} offers no {words}",
    )
    options[0].click()


def picture(browser):
    (image,) = find(browser, "#picture img")
    return image.get_attribute("src"), image.get_property("naturalWidth")


def hosts(browser):
    """Return the hosts that were asked for something since the page was opened."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        event["params"]["url" if "url" in event["params"] else "request"]
        for event in events
        if event["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
    ]
    parts = [urlsplit(url if isinstance(url, str) else url["url"]) for url in urls]
    return {part.hostname for part in parts if part.scheme in ("http", "https", "ws", "wss")}


@pytest.mark.parametrize("width", [DESK, TELEPHONE])
def test_a_visitor_chooses_an_utterance_and_sees_what_changes(browser, address, width):
    opened(browser, address, width)
    before, drawn = picture(browser)
    assert drawn == 2120 and all(share.endswith("%") for share in shares(browser))
    choose(browser, "sample", list(sample_utterances())[1])
    choose(browser, "noise", "none")
    wait(browser, lambda: shares(browser) == ["0%", "0%"], "units change without a distortion")
    choose(browser, "noise", "rain")
    wait(browser, lambda: "0%" not in shares(browser), "no unit changes in rain")
    wait(browser, lambda: picture(browser)[0] != before, "the picture stayed the same")
    assert "rain noise at 5 dB" in find(browser, "#share")[0].text
    for player in ("recording", "original", "distorted"):
        wait(browser, lambda p=player: find(browser, f"#{p} [aria-label*='Play']"), f"no {player}")
    sizes = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = browser.execute_script(sizes)
    assert content <= window == width
    said = [e for e in browser.get_log("browser") if e["level"] not in ("INFO", "DEBUG")]
    # Gradio drops a stream that it asks for again, and says so
    assert [e for e in said if "AbortError" not in e["message"]] == []
    assert hosts(browser) == {"127.0.0.1"}
    if folder := os.environ.get("HF_RSPIN_SCREENSHOTS"):
        height = browser.execute_script("return document.documentElement.scrollHeight")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.save_screenshot(f"{folder}/demo_{width}.png")


def test_a_file_is_dropped_and_a_bad_one_is_explained(browser, address, tmp_path):
    opened(browser, address, DESK)
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "long.wav", 0.1 * rng.standard_normal(32 * 8000), 8000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF, and then nothing of use")
    for file, message in (
        ("long.wav", "The recording lasts 32 s; the first 30 s are used."),
        ("broken.wav", "broken.wav"),
    ):
        find(browser, "#recording [aria-label='Clear']")[0].click()
        place = wait(browser, lambda: find(browser, "#recording input[type=file]"), "no upload")
        place[0].send_keys(str(tmp_path / file))
        wait(
            browser, lambda m=message: m in find(browser, "#message")[0].text, f"no word of {file}"
        )
    assert shares(browser) == [] and find(browser, "#picture img") == []


def test_the_browser_refuses_requests_to_other_hosts(browser, address):
    opened(browser, address, DESK)
    refused = browser.execute_async_script(
        "const done = arguments[0];"
        "fetch('http://example.org/').then(() => done('sent'), error => done(String(error)))"
    )
    assert "Failed to fetch" in refused
    assert any("Content Security Policy" in e["message"] for e in browser.get_log("browser"))


def test_a_taken_port_is_said(address):
    port = urlsplit(address).port
    with pytest.raises(ValueError, match=f"the port {port} cannot be used"):
        with serve(empty_page, port):
            pass


def empty_page():
    import gradio as gr

    with gr.Blocks() as page:
        gr.Markdown("Nothing.")
    return page
