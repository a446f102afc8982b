"""The page of `tdgan-jax demo`, in the system's Chromium and without a network."""

import csv
import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from tdgan_jax.cli.main import main
from tests.faces.scenes import drawn_face
from tests.inference.clips import two_faces, write_clip
from tests.inference.fake_model import FakeModel

CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).parent.parent.parent
SECONDS = 60  # to wait for what takes one on an idle machine
SCRIPT = [sys.executable, "-m", "tests.demo.served"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


class Demo:
    """The command in a process, and what it leaves."""

    def __init__(self, temporary):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.temporary = temporary
        self.process = subprocess.Popen(
            [*SCRIPT, "--port", str(self.port)],
            cwd=ROOT,
            env={"PATH": "", "JAX_PLATFORMS": "cpu", "HOME": str(temporary)}
            | {"TMPDIR": str(temporary), "HTTP_PROXY": "http://127.0.0.1:9"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.first_line = self.process.stdout.readline()
        self.address = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, rest


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    # Not imported here: it leaves open sockets behind, which are errors in this process.
    if find_spec("gradio") is None:
        pytest.skip("Gradio is not installed")
    served = Demo(tmp_path_factory.mktemp("served"))
    yield served
    if served.process.poll() is None:
        served.stop()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives Chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--use-fake-device-for-media-stream",  # a drawn webcam, allowed without asking
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def opened(demo, browser):
    """Opens the page in a window of a size; afterwards, no request has left this machine."""
    requests, complaints, contexts = [], [], []

    def open_page(viewport):
        context = browser.new_context(viewport=viewport)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(demo.address)
        page.get_by_role("tab", name="Photograph").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    hosts = {url for url in requests if not url.startswith((demo.address + "/", "data:", "blob:"))}
    assert requests and not hosts
    assert not [text for text in complaints if "Content Security Policy" in text]


@pytest.fixture
def portrait(tmp_path):
    path = tmp_path / "anna <i>.png"
    drawn_face(12, "happiness", 200).save(path)
    return path


def predicted(path, monkeypatch, capfd):
    """What `predict` says of a file: the exit code, its csv, its messages."""
    monkeypatch.setattr("tdgan_jax.cli.predict.open_model", lambda _: FakeModel())
    monkeypatch.chdir(path.parent)
    code = main(["predict", "--detect", "none", path.name])
    out, err = capfd.readouterr()
    return code, out, err


def upload(page, elem_id, *paths):
    page.locator(f"#{elem_id} input[type=file]").set_input_files([str(path) for path in paths])


def take_whole_pictures(page):
    page.get_by_role("tabpanel").get_by_label("fill the whole picture").locator(
        "visible=true"
    ).check()


def rows_shown(page, elem_id):
    page.locator(f"#{elem_id} table").wait_for()
    rows = page.locator(f"#{elem_id} tr").all()
    return [row.locator("th, td").all_text_contents() for row in rows]


def scrolls_sideways(page):
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def test_the_table_is_that_of_predict(opened, portrait, monkeypatch, capfd):
    page = opened(DESK)
    take_whole_pictures(page)
    upload(page, "photograph", portrait)
    shown = rows_shown(page, "photograph-rows")
    code, out, _ = predicted(portrait, monkeypatch, capfd)
    # Browsers and servers name files without what is markup or a path elsewhere.
    rows = [
        [cell.replace("anna <i>", "anna i") for cell in row] for row in csv.reader(io.StringIO(out))
    ]
    assert code == 0 and shown == rows
    assert page.locator("#photograph-annotated img").get_attribute("src").startswith("http")
    with page.expect_download() as download:
        page.get_by_text("Download the table").locator("visible=true").click()
    text = Path(download.value.path()).read_text()
    assert [list(row) for row in csv.reader(io.StringIO(text))] == rows
    assert not scrolls_sideways(page)
    assert not page.locator("#photograph-circumplex img").count()
    page.get_by_label("Model").locator("visible=true").click()
    page.get_by_role("option", name="pretrained_tdgan").click()  # here it knows affect
    page.locator("#photograph-circumplex img").wait_for()


def test_what_cannot_be_read_has_the_words_of_predict(opened, tmp_path, monkeypatch, capfd):
    damaged, huge = tmp_path / "damaged.png", tmp_path / "huge.png"
    damaged.write_bytes(b"\x89PNG no picture")
    Image.new("1", (30_000, 30_000)).save(huge)
    page = opened(PHONE)
    take_whole_pictures(page)
    message = page.locator("#photograph-message p")
    for path in (damaged, huge):
        code, _, err = predicted(path, monkeypatch, capfd)
        assert code == 1
        upload(page, "photograph", path)
        page.locator("#photograph-message", has_text=path.name).wait_for()
        assert f"tdgan-jax: {message.text_content()}\n" == err
        assert not page.locator("#photograph-rows table").count()
        page.get_by_label("Remove").or_(page.get_by_label("Clear")).first.click()
        message.wait_for(state="hidden")
    assert not scrolls_sideways(page)


def test_a_phone_shows_a_table_without_a_sideways_scroll(opened, portrait):
    page = opened(PHONE)
    take_whole_pictures(page)
    upload(page, "photograph", portrait)
    assert len(rows_shown(page, "photograph-rows")) == 2
    page.locator("#photograph-annotated img").wait_for()
    assert not scrolls_sideways(page)
    for name in ("Video", "Transfer"):
        page.get_by_role("tab", name=name).click()
        assert not scrolls_sideways(page)


def test_a_video_has_curves(opened, tmp_path):
    clip = write_clip(tmp_path / "talk.mp4", [two_faces(number) for number in range(3)])
    page = opened(DESK)
    page.get_by_role("tab", name="Video").click()
    take_whole_pictures(page)
    upload(page, "video", clip)
    page.locator("#video-start").click()
    rows = rows_shown(page, "video-rows")
    assert [row[1] for row in rows] == ["frame", "0", "1", "2"]
    page.locator("#video-curves img").wait_for()
    page.locator("#video-annotated video").wait_for()


def test_a_long_video_can_be_stopped(demo, opened, tmp_path):
    clip = write_clip(tmp_path / "long.mp4", [two_faces(number) for number in range(640)])
    page = opened(DESK)
    page.get_by_role("tab", name="Video").click()
    take_whole_pictures(page)
    page.get_by_label("Model").locator("visible=true").click()
    page.get_by_role("option", name="pretrained_tdgan").locator("visible=true").click()  # slow
    upload(page, "video", clip)
    page.locator("#video-start").click()
    message = page.locator("#video-message")
    message.filter(has_text="frames looked at").wait_for()
    page.locator("#video-stop").click()
    message.filter(has_text="stopped").wait_for()
    page.get_by_role("tab", name="Photograph").click()  # the machine is free again
    take_whole_pictures(page)
    drawn_face(12, "happiness", 64).save(tmp_path / "one.png")
    upload(page, "photograph", tmp_path / "one.png")
    assert len(rows_shown(page, "photograph-rows")) == 2
    assert "stopped" in message.text_content()
    # Gradio closes the generator when the frame in work is done, which nothing on the page shows.
    deadline = time.monotonic() + 60
    while list(demo.temporary.rglob("*long_seen*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(demo.temporary.rglob("*long_seen*"))


def test_the_webcam_takes_a_photograph(opened):
    page = opened(DESK)
    take_whole_pictures(page)
    page.get_by_role("button", name="Webcam").first.click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    shows = "[...document.querySelectorAll('video')].some(v => v.readyState === 4 && !v.paused)"
    page.wait_for_function(shows)
    page.get_by_label("capture photo").click()
    (columns, row) = rows_shown(page, "photograph-rows")
    assert row[columns.index("status")] == "ok"


def test_a_generator_transfers_and_interpolates(opened, portrait, tmp_path):
    other = tmp_path / "other.png"
    drawn_face(34, "surprise", 96).save(other)
    page = opened(DESK)
    page.get_by_role("tab", name="Transfer").click()
    take_whole_pictures(page)
    upload(page, "faces", portrait)
    upload(page, "expressions", other)
    page.locator("#interpolate-start").click()
    expected = "give one face and two expressions, or two faces and one expression"
    page.locator("#generator-message", has_text=expected).wait_for()
    page.locator("#transfer-start").click()
    page.locator("#generated img").wait_for()


def test_it_serves_this_machine_alone_and_forgets(demo, capfd):
    assert demo.first_line == f"the page is at {demo.address} (Ctrl-C ends it)\n"
    with urllib.request.urlopen(demo.address) as answer:
        text, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*https?://", text)
    if sys.platform == "linux":  # where all of 127.0.0.0/8 is this machine
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", demo.port))
    assert main(["demo", "--port", str(demo.port)]) == 1
    line = f"tdgan-jax: port {demo.port} cannot be used (Address already in use); name another one"
    assert capfd.readouterr() == ("", f"{line} with --port\n")
    assert list(demo.temporary.glob("tdgan_demo_*"))
    assert demo.stop() == (0, "")
    assert not list(demo.temporary.glob("tdgan_demo_*"))


def test_without_the_extra_it_says_what_to_install(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    assert main(["demo"]) == 1
    line = "tdgan-jax: the demo needs Gradio: pip install 'tdgan-jax[demo]'\n"
    assert capfd.readouterr() == ("", line)


def test_there_is_no_such_port(capfd):
    assert main(["demo", "--port", "70000"]) == 2
    assert capfd.readouterr().err == "tdgan-jax: --port 70000: the last port is 65535\n"
