"""The page of `hf-rspin demo` as a visitor sees it: in a browser, on a telephone and on a desk."""

import json
import os
import socket
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from hf_rspin.audio import read_audio
from hf_rspin.demo.page import EMPTY
from hf_rspin.demo.pictures import spectrogram
from hf_rspin.demo.recordings import read_recording, sample_utterances
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


def resize(browser, width, height=900):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture(scope="module")
def page(browser, address):
    """The page on a telephone, opened once, when the first utterance has been listened to."""
    resize(browser, TELEPHONE)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address)
    wait(browser, lambda: len(shares(browser)) == 2, "no share of changed units appeared")
    yield browser
    browser.get("about:blank")  # ends the streams of the page before the server ends


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


def check_layout(browser, width):
    """Nothing is wider than the window; take a picture of it where a folder is named."""
    sizes = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = browser.execute_script(sizes)
    assert content <= window == width
    if folder := os.environ.get("HF_RSPIN_SCREENSHOTS"):
        resize(browser, width, browser.execute_script(sizes.replace("Width", "Height"))[0])
        browser.save_screenshot(f"{folder}/demo_{width}.png")
        resize(browser, width)


def check_quiet(browser):
    """Nothing was complained about, and no other host was asked for anything."""
    said = [e for e in browser.get_log("browser") if e["level"] not in ("INFO", "DEBUG")]
    # Gradio drops a stream that it asks for again, and says so
    assert [e for e in said if "AbortError" not in e["message"]] == []
    assert hosts(browser) == {"127.0.0.1"}


def cleared(browser):
    """Take the recording away."""
    for cross in find(browser, "#recording [aria-label='Clear']")[:1]:
        cross.click()
    wait(browser, lambda: EMPTY in find(browser, "#message")[0].text, "the recording stayed")
    assert shares(browser) == [] and find(browser, "#picture img") == []


def test_the_first_utterance_is_there_when_the_page_opens_on_a_telephone(page):
    before, drawn = picture(page)
    assert drawn == 2120 and all(share.endswith("%") for share in shares(page))
    assert "0%" not in shares(page)
    choose(page, "noise", "none")
    wait(page, lambda: shares(page) == ["0%", "0%"], "units change without a distortion")
    wait(page, lambda: picture(page)[0] != before, "the picture stayed the same")
    check_layout(page, TELEPHONE)


def test_a_visitor_records_with_the_microphone(page, microphone):
    cleared(page)
    find(page, "#recording [aria-label='Record audio']")[0].click()
    button = "#recording .record-button"
    wait(page, lambda: find(page, button) and find(page, button)[0].is_displayed(), "no button")
    find(page, button)[0].click()
    button = "#recording .stop-button"
    wait(page, lambda: find(page, button)[0].is_displayed(), "it does not record")
    time.sleep(2.5)
    find(page, button)[0].click()
    wait(page, lambda: len(shares(page)) == 2, "no share of changed units appeared")
    wait(page, lambda: len(find(page, "#picture img")) == 1, "no picture appeared")
    wait(page, lambda: find(page, "#original [aria-label*='Play']"), "no player")
    files = Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*.wav")  # those of the players are at 16 kHz
    heard, _ = read_recording(next(x for x in files if soundfile.info(x).samplerate != 16_000))
    assert len(heard) > 24_000
    assert likeness(heard, read_audio(microphone)) > 0.5  # others: 0.23; 44.1 as 48 kHz: 0.35
    check_quiet(page)
    check_layout(page, TELEPHONE)


def likeness(heard, spoken):
    """Return the correlation of a second of a recording with what was said again and again."""
    middle = len(heard) // 2
    levels = [np.maximum(spectrogram(x)[0], -50) for x in (
        heard[middle - 8000 : middle + 8000], np.concatenate([spoken, spoken]))]  # fmt: skip
    one, other = (x - x.mean(1, keepdims=True) for x in levels)
    width = one.shape[1]
    windows = (other[:, k : k + width] for k in range(other.shape[1] - width))
    return max(np.corrcoef(one.ravel(), window.ravel())[0, 1] for window in windows)


def test_a_visitor_chooses_an_utterance_and_sees_what_changes(page):
    resize(page, DESK)
    choose(page, "sample", list(sample_utterances())[1])
    wait(page, lambda: len(shares(page)) == 2, "no share of changed units appeared")
    before, _ = picture(page)
    choose(page, "noise", "rain")
    wait(page, lambda: "rain noise at 5 dB" in find(page, "#share")[0].text, "no rain")
    wait(page, lambda: picture(page)[0] != before, "the picture stayed the same")
    assert "0%" not in shares(page)
    for player in ("recording", "original", "distorted"):
        wait(page, lambda p=player: find(page, f"#{p} [aria-label*='Play']"), f"no {player}")
    check_layout(page, DESK)
    check_quiet(page)


def test_a_file_is_dropped_and_a_bad_one_is_explained(page, microphone, tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "call.wav", 0.1 * rng.standard_normal((12_000, 2)), 8000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF, and then nothing of use")
    (tmp_path / "memo.m4a").write_bytes(recorded(page, "audio/mp4"))
    for file, place, message in (
        ("call.wav", "#share", "1.5 s of sound"),
        ("broken.wav", "#message", "broken.wav"),
        ("memo.m4a", "#message", "ffmpeg -i memo.m4a -ac 1 -ar 16000 memo.flac"),
    ):
        cleared(page)
        for tab in find(page, "#recording [aria-label='Upload file']"):
            tab.click()
        upload = wait(page, lambda: find(page, "#recording input[type=file]"), "no upload")
        upload[0].send_keys(str(tmp_path / file))
        wait(page, lambda p=place, m=message: m in find(page, p)[0].text, f"no word of {file}")
    assert shares(page) == [] and find(page, "#picture img") == []


def recorded(browser, kind):
    """Return the bytes of a second of the microphone, as browsers and telephones record it."""
    data = browser.execute_async_script(
        """
        const [kind, done] = arguments;
        navigator.mediaDevices.getUserMedia({audio: true}).then((microphone) => {
            const recorder = new MediaRecorder(microphone, {mimeType: kind});
            recorder.ondataavailable = async (event) => {
                microphone.getTracks().forEach((track) => track.stop());
                done(Array.from(new Uint8Array(await event.data.arrayBuffer())));
            };
            recorder.start();
            setTimeout(() => recorder.stop(), 1000);
        }, (error) => done(String(error)));
        """,
        kind,
    )
    assert len(data) > 1000, data
    return bytes(data)


def test_the_browser_refuses_requests_to_other_hosts(page):
    refused = page.execute_async_script(
        "const done = arguments[0];"
        "fetch('http://example.org/').then(() => done('sent'), error => done(String(error)))"
    )
    assert "Failed to fetch" in refused
    assert any("Content Security Policy" in e["message"] for e in page.get_log("browser"))


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
