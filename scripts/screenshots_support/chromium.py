"""A real Chromium without a window, Debian's own, driven by its WebDriver: for the pictures, and for Flower's tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

LOAD_SECONDS = 60.0
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
_DRIVERS = ("chromedriver", "chromium.chromedriver")


class BrowserMissing(Exception):
    """Flower's pages need Chromium."""


@contextmanager
def chromium(width: int = 1600, height: int = 1200, scale: float = 1.0) -> Iterator[webdriver.Chrome]:
    """Start a Chromium with a window of this size; ``scale`` is a picture's pixels to one of the page's.

    Raises BrowserMissing.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = _found(_CHROMIUMS)
    size = [f"--window-size={width},{height}", f"--force-device-scale-factor={scale:g}"]
    arguments = ["--headless=new", "--disable-dev-shm-usage", "--disable-gpu", *size]
    for argument in [*arguments, *(["--no-sandbox"] if os.geteuid() == 0 else [])]:
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(_found(_DRIVERS)))
    try:
        driver.set_page_load_timeout(LOAD_SECONDS)
        yield driver
    finally:
        driver.quit()


def _found(names: tuple[str, ...]) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise BrowserMissing(
        f"none of {', '.join(names)} is on the PATH: install Chromium and its driver, on Debian with "
        "`apt-get install chromium chromium-driver`; ./scripts/test does so if it is root"
    )
