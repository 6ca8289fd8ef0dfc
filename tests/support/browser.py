"""Opens the status page in a real Chromium and tells, as JSON, what a person could not say for sure.

    browser.py URL FOLDER

Takes pictures into FOLDER: light, dark, phone. Needs a Chromium, playwright and axe-playwright-python.
"""

import json
import os
import shutil
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

VIEWS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}


def look(browser, url, folder, name, options):
    context = browser.new_context(**options)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    styled = page.evaluate("getComputedStyle(document.querySelector('.figure')).fontWeight")
    page.screenshot(path=os.path.join(folder, f"{name}.png"), full_page=True)
    sideways = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    # With the keyboard alone: every link and every table that is closed behind its summary is reached.
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        place = page.evaluate(
            "(() => { const e = document.activeElement; return e === document.body ? null :"
            " e.tagName + ':' + [...document.querySelectorAll(e.tagName)].indexOf(e); })()"
        )
        if place is None or place in reached:
            break
        reached.add(place)
    summaries = page.locator("summary").count()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.screenshot(path=os.path.join(folder, f"{name}-open.png"), full_page=True)
    faults = [
        {"id": fault["id"], "impact": fault["impact"], "where": [node["target"] for node in fault["nodes"]][:3]}
        for fault in Axe().run(page).response["violations"]
    ]
    text = page.inner_text("body")
    context.close()
    return {
        "console": said,
        "elsewhere": [one for one in asked if not one.startswith(url)],
        "styled": styled == "600",
        "sideways": sideways,
        "summaries": summaries,
        "reached": len([one for one in reached if one.startswith("SUMMARY")]),
        "axe": faults,
        "text": text,
    }


def main():
    url, folder = sys.argv[1:3]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found = {name: look(browser, url, folder, name, options) for name, options in VIEWS.items()}
        browser.close()
    json.dump(found, sys.stdout)


main()
