"""The page in a real browser: Chromium, where it is installed."""

import base64
import re
import shutil

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def open_page(tmp_path_factory):
    """Open a page at a width; give the driver."""
    selenium = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    drivers = {}

    def started(dark):
        options = selenium.ChromeOptions()
        options.binary_location = CHROMIUM
        profile = tmp_path_factory.mktemp("profile")
        for flag in FLAGS + ("--force-dark-mode",) * dark + (f"--user-data-dir={profile}",):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        return selenium.Chrome(options=options, service=Service(DRIVER))

    def open_at(path, width, height=900, dark=False):
        driver = drivers[dark] = drivers.get(dark) or started(dark)
        driver.get("about:blank")  # what the page before has logged, and the colours it was asked for, are forgotten
        driver.get_log("browser")
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        # A window has a least width; the emulated screen of a phone has none.
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        driver.get(path.as_uri())
        driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
        return driver

    yield open_at
    for driver in drivers.values():
        driver.quit()


@pytest.mark.parametrize("width", [400, 1200])
def test_no_errors_no_missing_pictures_no_sideways_scrolling(open_page, hostile_study, width):
    driver = open_page(hostile_study / "report.html", width)
    assert driver.get_log("browser") == []
    assert driver.title == "A <b>bold</b> & hostile study"
    sizes = driver.execute_script("return [...document.images].map(i => i.complete ? i.naturalWidth : 0)")
    assert len(sizes) > 20
    assert min(sizes) > 0
    page, window = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert window == width
    assert page <= width


def test_hostile_text_appears_as_it_was_written(open_page, hostile_study):
    driver = open_page(hostile_study / "report.html", 1200)
    text = driver.execute_script("return document.body.innerText")
    assert "<script>document.title='broken'; console.error('ran')</script>" in text
    assert "<em>clip01</em>&" in text
    assert "First </h2><script>console.error('ran')</script> system" in text
    assert "😱🎉" in text


def test_text_stands_out_from_its_ground_in_light_and_in_dark(open_page, hostile_study):
    driver = open_page(hostile_study / "report.html", 1200)
    for scheme in ("light", "dark"):
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        ink, paper = (
            [
                int(part)
                for part in driver.execute_script(f"return getComputedStyle(document.body).{name}")[4:-1].split(",")[:3]
            ]
            for name in ("color", "backgroundColor")
        )
        assert _contrast(ink, paper) > 7


def test_soft_text_and_links_stand_out_in_light_and_in_dark(open_page, hostile_study):
    driver = open_page(hostile_study / "report.html", 1200)
    for scheme in ("light", "dark"):
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        for where in ("#summary .soft", "#left-out summary, nav a", "figcaption", "#methods a"):
            ink, paper = driver.execute_script(
                "const e = document.querySelector(arguments[0]); const of = n => getComputedStyle(n).backgroundColor;"
                "let n = e; while (of(n).endsWith(', 0)')) n = n.parentElement;"
                "return [getComputedStyle(e).color, of(n)].map(c => c.match(/\\d+/g).slice(0, 3).map(Number))",
                where,
            )
            assert _contrast(ink, paper) >= 4.5, (scheme, where)


def test_what_scrolls_can_be_reached_with_the_keyboard(open_page, hostile_study):
    driver = open_page(hostile_study / "report.html", 400)
    unreachable = driver.execute_script(
        "return [...document.querySelectorAll('.scroll, pre')]"
        ".filter(e => e.scrollWidth > e.clientWidth && e.tabIndex < 0).length"
    )
    scrolling = driver.execute_script(
        "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
    )
    assert scrolling > 3 and unreachable == 0
    unnamed = driver.execute_script("return [...document.querySelectorAll('[role=region]:not([aria-label])')].length")
    assert unnamed == 0


def test_the_whole_page_prints(open_page, hostile_study):
    driver = open_page(hostile_study / "report.html", 1200)
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 10
    assert len(re.findall(rb"/Subtype\s*/Image", printed)) >= 20
    assert driver.get_log("browser") == []


def test_a_table_can_be_downloaded_from_the_page(open_page, hostile_study):
    driver = open_page(hostile_study / "report.html", 1200)
    text = driver.execute_async_script(
        "const [name, done] = arguments; fetch(document.querySelector(`a[download='${name}']`).href)"
        ".then(r => r.text()).then(done)",
        "behavior_agreement.csv",
    )
    assert text == (hostile_study / "behavior/agreement.csv").read_text("utf-8")


@pytest.mark.parametrize("width", [400, 1200])
def test_the_gallery_has_no_errors_and_no_sideways_scrolling(open_page, hostile_gallery, width):
    driver = open_page(hostile_gallery, width)
    assert driver.get_log("browser") == []
    assert driver.title == "A <b>hostile</b> gallery"
    sizes = driver.execute_script("return [...document.images].map(i => i.complete ? i.naturalWidth : 0)")
    assert len(sizes) == 5 and min(sizes) > 0
    page, window = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert window == width and page <= width
    letters = driver.execute_script(
        "return [...document.querySelectorAll('.cloud text')].map("
        "t => t.getBoundingClientRect().height / 1.164)"  # the line of the font over its size
    )
    assert len(letters) == 3 and min(letters) > 9


def test_words_of_a_cloud_lie_apart_in_the_browser(open_page, hostile_gallery):
    driver = open_page(hostile_gallery, 1200)
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('.cloud text')].map(t => {"
        "const b = t.getBoundingClientRect(); return [b.left, b.right, b.top, b.bottom]})"
    )
    for k, one in enumerate(boxes):
        for other in boxes[:k]:
            beside = one[1] <= other[0] + 2 or other[1] <= one[0] + 2
            shared = min(one[3], other[3]) - max(one[2], other[2])
            assert beside or shared < 0.5 * min(one[3] - one[2], other[3] - other[2])


def test_the_gallery_is_walked_with_the_keyboard(open_page, hostile_gallery):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    driver = open_page(hostile_gallery, 1200)
    seen = []
    for _ in range(3):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        seen.append(driver.execute_script("return document.activeElement.getAttribute('href')"))
    assert seen == ["#components", "#component-1", "#component-2"]
    ActionChains(driver).send_keys(Keys.ENTER).perform()
    assert driver.execute_script("return document.activeElement.id") == "component-2"
    ActionChains(driver).send_keys(Keys.TAB).perform()
    assert driver.execute_script("return document.activeElement.getAttribute('href')") == "#top"


def _contrast(a, b):
    """Contrast ratio of the web accessibility guidelines."""

    def luminance(colour):
        parts = [c / 255 for c in colour]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
