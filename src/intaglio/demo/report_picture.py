"""Take a picture of a report with Chromium, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZE = 1200, 900
PATIENCE = 60
"""Seconds that the browser has."""


def report_picture(report: Path, picture: Path) -> str | None:
    """Write the top of a report as PNG.

    Returns:
        None, or why there is no picture.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return f"none of {', '.join(BROWSERS)} is installed"
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={SIZE[0]},{SIZE[1]}", "--virtual-time-budget=10000"]
    command += [f"--screenshot={picture.resolve()}", report.resolve().as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{browser}: {error}"
    if done.returncode != 0 or not picture.is_file():
        return f"{browser} ended with {done.returncode}: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
    return None
