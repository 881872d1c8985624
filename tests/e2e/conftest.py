"""A real desk, as a user starts it, and a real Chromium before it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.sample import write

LILIN = Path(sys.executable).with_name("lilin")
PASSWORD = "tiga ekor kucing tidur"


@dataclass(slots=True, kw_only=True)
class Served:
    """A running desk: where it listens, its folder, and the admin's one-time password."""

    url: str
    folder: Path
    one_time: str
    environment: dict[str, str]
    log: Path

    def lilin(self, *arguments: str) -> str:
        """Run a command on the same database and return what it prints."""
        done = subprocess.run(
            [LILIN, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the shipped model on an SQLite file that holds the sample feed, its last post of now."""
    folder = tmp_path_factory.mktemp("desk")
    with serving(folder, ["feed", "add", str(sample(folder))]) as served:
        yield served


def sample(folder: Path) -> Path:
    """Write the sample feed into ``folder``, its last post of now."""
    path = folder / "sample.csv"
    write(path, now=datetime.now(UTC))
    return path


@contextmanager
def serving(folder: Path, *commands: Sequence[str], **settings: str) -> Iterator[Served]:
    """Serve the shipped model on an SQLite file for which these commands were run."""
    port = free_port()
    environment = os.environ | {
        "LILIN_DATABASE_URL": f"sqlite:///{folder}/desk.db",
        "LILIN_FEEDS_FOLDER": str(folder / "feeds"),
        "LILIN_SECOND_REVIEW_SHARE": "0",
        **settings,
    }
    for command in (["migrate"], *commands, ["worker", "--drain"]):
        subprocess.run([LILIN, *command], env=environment, check=True, capture_output=True)
    log = folder / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [LILIN, "serve", "--port", str(port)], env=environment, stdout=stream, stderr=stream
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process, log)
        found = re.search(r"one-time password: (\S+)", log.read_text())
        assert found, log.read_text()
        yield Served(url=url, folder=folder, one_time=found[1], environment=environment, log=log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the desk answers; what it wrote is shown if it died."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urlopen(f"{url}/readyz", timeout=5):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium; playwright's own is not downloaded.

    It ends with the module: while it lives, an event loop runs in this thread, and no other test
    could start one.
    """
    path = os.environ.get("LILIN_CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    assert path, "no Chromium: `make test` installs it as root, or apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, desk: Served) -> Iterator[Page]:
    """Return a page of a browser that nobody is signed in with; script errors fail the test."""
    context = browser.new_context(
        base_url=desk.url, viewport={"width": 1280, "height": 900}, locale="id-ID"
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda said: (
            errors.append(said.text)
            if said.type == "error" and "Failed to load resource" not in said.text
            else None
        ),
    )
    yield page
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def admin(desk: Served, browser: Browser) -> tuple[str, str]:
    """Return name and password of the admin, who has chosen a password of their own."""
    context = browser.new_context(base_url=desk.url)
    page = context.new_page()
    fill_sign_in(page, "admin", desk.one_time)
    page.get_by_label("Kata sandi sekali pakai").fill(desk.one_time)
    page.get_by_label("Kata sandi baru", exact=True).fill(PASSWORD)
    page.get_by_label("Kata sandi baru, sekali lagi").fill(PASSWORD)
    page.get_by_role("button", name="Simpan").click()
    page.get_by_role("heading", name="Antrean", exact=True).wait_for()
    context.close()
    return "admin", PASSWORD


def fill_sign_in(page: Page, name: str, password: str) -> None:
    page.goto("/masuk")
    page.get_by_label("Nama akun").fill(name)
    page.get_by_label("Kata sandi").fill(password)
    page.get_by_role("button", name="Masuk").click()


@pytest.fixture
def signed_in(page: Page, admin: tuple[str, str]) -> Page:
    """Return a page on which the admin is signed in, before the queue."""
    fill_sign_in(page, *admin)
    page.get_by_role("heading", name="Antrean", exact=True).wait_for()
    return page
