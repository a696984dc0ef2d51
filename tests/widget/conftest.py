"""Gives a machine with much to do the time to show a page."""

from playwright.async_api import expect

from tests.voice.test_browser import SOON

expect.set_options(timeout=SOON)
