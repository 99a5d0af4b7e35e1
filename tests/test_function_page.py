"""The function's page in a real browser, with a real network behind it: as a person uses it.

KENNEL_SCREENSHOTS names a folder for pictures of the page, to be looked at.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import function
from fixtures_function import Endpoint, function_url
from function import Function, Web
from kennel.artifact import Artifact
from kennel.cloud.function import deploy
from kennel.cloud.function_requests import plan_of
from kennel.cloud.iam.apply import ensure
from kennel.cloud.package import package
from kennel.cloud.session import connect
from kennel.local.background import start_in_background, stop
from kennel.pictures import dataset
from kennel.serving.answer import Answerer, Request
from kennel.serving.choice import proven
from kennel.settings import parse

DROP = """
const [name, type, content] = arguments;
const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
const carried = new DataTransfer();
carried.items.add(new File([bytes], name, { type }));
document.getElementById("drop").dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: carried }));
"""
PASTE = DROP.replace('DragEvent("drop"', 'ClipboardEvent("paste"').replace("dataTransfer:", "clipboardData:")
BELOW = "/_url/abcdef"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Debian's Chromium, without a screen."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("there is no Chromium here; install it: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for each in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):  # fmt: skip
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield made
    made.quit()


@pytest.fixture(scope="module")
def answerer(trained: Artifact) -> Answerer:
    return Answerer(proven(trained), tuple(trained.card.labels))


@pytest.fixture
def real(endpoint: Endpoint, answerer: Answerer) -> Endpoint:
    """An endpoint that looks at the picture."""

    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        response = answerer.answer(Request(body, attributes="top_k=5"))
        if response.status != 200:
            endpoint.model_error(response.status, response.text)
            return endpoint.answer(body)
        return 200, {"Content-Type": response.content_type}, response.text.encode()

    endpoint.answer = answer
    return endpoint


@pytest.fixture
def page(browser: WebDriver, endpoint: Endpoint, client: Any) -> Iterator[WebDriver]:
    """The page, open, below a path as the local AWS serves it; nothing on it may break a rule of its policy."""
    with opened(browser, client) as found:
        yield found
    found = browser.get_log("browser")  # type: ignore[no-untyped-call]
    severe = [each for each in found if "Content Security" in each["message"]]
    assert severe == []


@contextmanager
def opened(browser: WebDriver, client: Any, seconds: float = 20.0) -> Iterator[WebDriver]:
    settings, content = function.settings_of(os.environ), function.PAGE.read_bytes()
    answering = Function(settings, client, Web(), content, lambda: None)
    with function_url(answering, BELOW, seconds) as url:
        browser.get(url)
        yield browser


@pytest.fixture(scope="module")
def photograph(photographs: Path, answerer: Answerer) -> tuple[Path, str]:
    """One of the test split that the network tells rightly, nobody else between, and its label."""
    for picture in dataset.load(photographs).splits["test"]:
        assert picture.path is not None
        best = json.loads(answerer.answer(Request(picture.path.read_bytes())).text)["predictions"][0]
        if best["label"] == picture.label and best["probability"] > 0.5:
            return picture.path, picture.label
    raise AssertionError("the network knows no picture")


def run(page: WebDriver, script: str, *arguments: str) -> Any:
    return page.execute_script(script, *arguments)


def devtools(page: WebDriver, command: str, values: dict[str, Any]) -> None:
    page.execute_cdp_cmd(command, values)


def drop(page: WebDriver, path: Path, kind: str = "image/jpeg", script: str = DROP) -> None:
    run(page, script, path.name, kind, base64.b64encode(path.read_bytes()).decode())


def text_of(page: WebDriver, name: str) -> str:
    return str(page.find_element(By.ID, name).text)


def until_text(page: WebDriver, name: str, part: str = "", seconds: float = 15.0) -> str:
    """The text of an element as soon as it holds this."""
    WebDriverWait(page, seconds, 0.05).until(lambda it: text_of(it, name) and part in text_of(it, name))
    return text_of(page, name)


def breed_of(label: str) -> str:
    return dataset.breed(label).replace("_", " ")


class TestAsking:
    def test_a_photograph_that_is_dropped_is_told_by_its_breed(
        self, page: WebDriver, real: Endpoint, photograph: tuple[Path, str]
    ) -> None:
        path, label = photograph
        drop(page, path)
        said = until_text(page, "status", "Most likely")
        assert breed_of(label) in said
        rows = page.find_elements(By.CSS_SELECTOR, "#breeds li")
        assert len(rows) in (4, 5)  # there are four breeds of drawings
        assert rows[0].text.startswith(breed_of(label))
        assert "Answered in" in text_of(page, "time")
        assert "of which the classifier took" in text_of(page, "time")
        shown = page.find_element(By.ID, "shown")
        assert shown.is_displayed()
        assert path.name in str(shown.get_attribute("alt"))
        assert real.asked[0][2] == path.read_bytes()  # small: sent as it is
        width = run(page, "return document.querySelector('.bar i').style.width")
        assert float(str(width).rstrip("%")) > 20
        picture_of(page, "answered")

    def test_a_photograph_that_is_pasted(self, page: WebDriver, real: Endpoint, photograph: tuple[Path, str]) -> None:
        drop(page, photograph[0], script=PASTE)
        assert breed_of(photograph[1]) in until_text(page, "status", "Most likely")

    def test_a_photograph_of_12_megapixels_is_shrunk_before_it_is_sent(
        self, page: WebDriver, real: Endpoint, photograph: tuple[Path, str], tmp_path: Path
    ) -> None:
        large = tmp_path / "large.jpg"
        source = Image.open(photograph[0]).convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
        source = Image.blend(source, Image.effect_noise((4000, 3000), 60).convert("RGB"), 0.15)
        source.save(large, quality=97)
        assert large.stat().st_size > 6_000_000
        page.find_element(By.ID, "file").send_keys(str(large))
        assert breed_of(photograph[1]) in until_text(page, "status", "Most likely", 30)
        sent = real.asked[0][2]
        assert len(sent) < 1_500_000
        assert Image.open(io.BytesIO(sent)).size == (1365, 1024)

    def test_an_upright_photograph_stays_upright_when_it_is_shrunk(
        self, page: WebDriver, real: Endpoint, tmp_path: Path
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture = Image.effect_noise((3000, 2000), 90).convert("RGB")
        picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
        page.find_element(By.ID, "file").send_keys(str(tmp_path / "turned.jpg"))
        until_text(page, "status", "Most likely", 30)
        assert Image.open(io.BytesIO(real.asked[0][2])).size == (1024, 1536)

    def test_an_address_that_is_private_is_refused_in_words(self, page: WebDriver, real: Endpoint) -> None:
        page.find_element(By.ID, "url").send_keys("https://169.254.169.254/latest", Keys.ENTER)
        said = until_text(page, "error")
        assert "Addresses that are not public are not fetched." in said
        assert "If you ask somebody about it, say: request" in text_of(page, "time")
        assert real.asked == []

    def test_the_next_photograph_takes_the_place_of_the_one_before(
        self, page: WebDriver, real: Endpoint, photograph: tuple[Path, str], tmp_path: Path
    ) -> None:
        (tmp_path / "notes.txt").write_text("no dog")
        drop(page, tmp_path / "notes.txt", "text/plain")
        until_text(page, "error")
        drop(page, photograph[0])
        until_text(page, "status", "Most likely")
        assert text_of(page, "error") == ""


class TestTrouble:
    def test_a_text_is_no_picture_and_is_not_even_sent(
        self, page: WebDriver, endpoint: Endpoint, tmp_path: Path
    ) -> None:
        (tmp_path / "notes.txt").write_text("no dog")
        page.find_element(By.ID, "file").send_keys(str(tmp_path / "notes.txt"))
        assert "That is not a picture that this browser can read." in until_text(page, "error")
        assert endpoint.asked == []
        picture_of(page, "refused")

    def test_an_endpoint_that_is_down(self, page: WebDriver, endpoint: Endpoint, photograph: tuple[Path, str]) -> None:
        endpoint.error(400, "ValidationError")
        drop(page, photograph[0])
        said = until_text(page, "error")
        assert "The classifier cannot be asked just now. Try again later." in said.replace("\n", " ")
        assert "secret-name" not in page.page_source

    def test_one_that_has_too_much_to_do(
        self, page: WebDriver, endpoint: Endpoint, photograph: tuple[Path, str]
    ) -> None:
        endpoint.error(429, "ThrottlingException")
        drop(page, photograph[0])
        assert "The classifier has too much to do." in until_text(page, "error")

    @pytest.mark.parametrize(
        "said", ["{}", "null", '{"predictions": []}', '{"predictions": [{"label": "a"}]}', "<html>"]
    )
    def test_an_answer_of_another_form_is_told_as_one(self, browser: WebDriver, said: str) -> None:
        shown = Function(function.Settings("secret-name"), None, Web(), function.PAGE.read_bytes(), lambda: None)
        other = {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": said}

        def answer(asked: Any, context: Any) -> Any:
            return other if asked["requestContext"]["http"]["method"] == "POST" else shown(asked, context)

        with function_url(answer) as url:
            browser.get(url)
            browser.find_element(By.ID, "url").send_keys("https://dogs.example/a.jpg", Keys.ENTER)
            assert "Something went wrong on the way to the classifier." in until_text(browser, "error")

    def test_no_network_at_all(self, page: WebDriver, endpoint: Endpoint, photograph: tuple[Path, str]) -> None:
        devtools(page, "Network.enable", {})
        network = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        devtools(page, "Network.emulateNetworkConditions", network)
        drop(page, photograph[0])
        assert "Nobody answers." in until_text(page, "error")
        devtools(page, "Network.emulateNetworkConditions", network | {"offline": False})
        drop(page, photograph[0])
        assert "Most likely" in until_text(page, "status", "Most likely")

    def test_a_slow_endpoint_is_waited_for_with_patience_and_words(
        self, page: WebDriver, real: Endpoint, photograph: tuple[Path, str]
    ) -> None:
        go_on, quick = threading.Event(), real.answer

        def slowly(body: bytes) -> tuple[int, dict[str, str], bytes]:
            go_on.wait(15)
            return quick(body)

        real.answer = slowly
        drop(page, photograph[0])
        until_text(page, "status", "Still at it")
        assert page.find_element(By.ID, "result").get_attribute("aria-busy") == "true"
        picture_of(page, "waiting")
        go_on.set()
        until_text(page, "status", "Most likely")
        assert page.find_element(By.ID, "result").get_attribute("aria-busy") is None

    def test_one_that_is_too_slow_is_told_when_the_functions_time_is_over(
        self, browser: WebDriver, endpoint: Endpoint, client: Any, photograph: tuple[Path, str]
    ) -> None:
        over = threading.Event()

        def never(body: bytes) -> tuple[int, dict[str, str], bytes]:
            over.wait(15)
            return 200, {}, b""

        endpoint.answer = never
        with opened(browser, client, seconds=1.2) as page:
            drop(page, photograph[0])
            assert "The classifier did not answer in time." in until_text(page, "error")
            over.set()


class TestForEverybody:
    def test_the_keyboard_reaches_everything_in_order(self, page: WebDriver) -> None:
        page.find_element(By.TAG_NAME, "body").click()
        reached = []
        for _ in range(3):
            ActionChains(page).send_keys(Keys.TAB).perform()
            focused = page.switch_to.active_element
            reached.append(focused.get_attribute("id") or focused.text)
        assert reached == ["file", "url", "Ask"]

    def test_screen_readers_are_told_names_news_and_errors(self, page: WebDriver) -> None:
        assert "Choose a photograph" in page.find_element(By.ID, "file").accessible_name
        assert "address on the web" in page.find_element(By.ID, "url").accessible_name
        assert page.find_element(By.ID, "status").aria_role == "status"
        assert page.find_element(By.ID, "error").aria_role == "alert"
        assert page.find_element(By.ID, "result").accessible_name == "The breed"
        assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"

    @pytest.mark.parametrize("width", [320, 390, 768, 1280])
    def test_it_fits_any_width(self, width: int, page: WebDriver) -> None:
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        devtools(page, "Emulation.setDeviceMetricsOverride", size)
        assert run(page, "return document.documentElement.scrollWidth") <= width
        devtools(page, "Emulation.clearDeviceMetricsOverride", {})

    def test_it_is_dark_where_the_reader_wants_it_dark(self, page: WebDriver) -> None:
        ground = "return getComputedStyle(document.body).backgroundColor"
        found = []
        for scheme in ("light", "dark"):
            features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            devtools(page, "Emulation.setEmulatedMedia", features)
            found.append(run(page, ground))
        devtools(page, "Emulation.setEmulatedMedia", {"features": []})
        assert found == ["rgb(250, 247, 242)", "rgb(23, 19, 15)"]


def test_it_works_at_the_address_that_the_local_aws_gives_it(
    browser: WebDriver, photograph: tuple[Path, str], tmp_path: Path
) -> None:
    """Deployed for real; there is no endpoint behind it, which it then says."""
    found = start_in_background(tmp_path, 0, "us-east-1", "process")
    try:
        keys = (found.access_key_id, found.secret_access_key)
        cloud = connect("local", parse({"function": {"provisioned": 1}}), found.url, keys)
        role = ensure(cloud, "function")
        done = deploy(cloud, plan_of(cloud.settings, role, package()), lambda text: None)
        browser.get(done.url)
        drop(browser, photograph[0])
        assert "The classifier cannot be asked just now." in until_text(browser, "error")
        browser.find_element(By.ID, "url").send_keys("https://127.0.0.1/", Keys.ENTER)
        assert "Addresses that are not public are not fetched." in until_text(browser, "error", "not public")
    finally:
        stop(tmp_path)


def picture_of(page: WebDriver, name: str) -> None:
    """Wide, narrow and dark, where somebody wants to look at them."""
    folder = os.environ.get("KENNEL_SCREENSHOTS")
    if not folder:
        return
    for look, width, scheme in (("wide", 1280, "light"), ("narrow", 390, "light"), ("dark", 1280, "dark")):
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        devtools(page, "Emulation.setDeviceMetricsOverride", size)
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        devtools(page, "Emulation.setEmulatedMedia", features)
        threading.Event().wait(0.6)  # the bars grow
        page.save_screenshot(str(Path(folder) / f"{name}-{look}.png"))
    devtools(page, "Emulation.clearDeviceMetricsOverride", {})
    devtools(page, "Emulation.setEmulatedMedia", {"features": []})
