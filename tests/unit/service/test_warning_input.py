"""The early warning on what nobody would send: odd clocks, odd texts, posts that vanish meanwhile."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from models.fake import FakeScorer
from pipeline.post import Post
from pipeline.spread import Stage
from service.alerts.service import AlertRules
from service.database import Database
from service.errors import BadNarratives, NotFound, NothingToUndo
from service.feeds.rows import new_post
from service.migrations import migrate
from service.narratives import service, watch
from service.narratives.grouping import OWNED, Grouping
from service.narratives.loop import EarlyWarning
from service.posts.intake import MAXIMUM_REACH, NewPost, accept
from service.privacy.purge import Purged, purge, would_purge
from service.queue.service import QueueRules
from service.tables import (
    Account,
    Alert,
    AlertCandidate,
    Digest,
    Narrative,
    NarrativeAccount,
    NarrativeBucket,
    NarrativeEvent,
    NarrativeHead,
    QueueItem,
    State,
    StoredPost,
)
from service.web import storable
from tests.unit.service.books import all_grouped, books_agree

SCORER = FakeScorer()
SPACE = SCORER.space
UNQUEUED = QueueRules(threshold=2.0)
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
HOAX = "Viralkan! Mulai bulan depan rekening orang tua dipotong Rp150.000 untuk makan siang sekolah"
RETOLD = (
    "Sebarkan! Rekening orang tua katanya dipotong Rp150.000 mulai bulan depan buat makan siang"
)
OTHER = "Undian resmi hadiah mobil listrik dari bank pusat, kirim kode ke nomor panitia sekarang"
CHAT = "Tadi pagi kereta penuh sekali sampai tidak bisa duduk, untung bawa bekal dari rumah"
on_sqlite = pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)


def send(
    database: Database,
    texts: Sequence[str],
    *,
    at: Sequence[datetime | None] = (),
    rules: QueueRules = UNQUEUED,
    **more: Any,
) -> list[int]:
    """Take posts in, by accounts of their own and a minute apart until now, and number them."""
    with database.read() as session:
        first = (session.scalar(select(func.max(StoredPost.id))) or 0) + 1
    posts = [
        NewPost(
            **{
                "text": text,
                "platform": ("x", "facebook")[i % 2],
                "external_id": str(first + i),
                "account": f"akun{first + i}",
                "posted_at": at[i] if at else NOW - timedelta(minutes=len(texts) - i),
            }
            | more
        )
        for i, text in enumerate(texts)
    ]
    done = accept(database, posts, SCORER.score_and_embed, rules, model=SCORER.version)
    return [accepted.post.id for accepted in done]


def warn(database: Database, now: datetime = NOW) -> None:
    EarlyWarning(database, SPACE, AlertRules(), clock=lambda: now).drain()


def group(database: Database) -> None:
    grouping = Grouping(database, SPACE)
    while grouping.group().posts:
        pass
    grouping.release()


def narratives(database: Database) -> list[Narrative]:
    with database.read() as session:
        return list(session.scalars(select(Narrative).order_by(Narrative.id)))


def belonging(database: Database) -> list[int | None]:
    with database.read() as session:
        return list(session.scalars(select(StoredPost.narrative_id).order_by(StoredPost.id)))


def change(database: Database, post_ids: Sequence[int], **values: Any) -> None:
    with database.write() as session:
        session.execute(update(StoredPost).where(StoredPost.id.in_(post_ids)).values(**values))


def clean(database: Database, *, received_before: datetime) -> Purged:
    return purge(
        database,
        older_than=DAY,
        feeds_folder=Path("/nowhere"),
        now=received_before + DAY,
        actor="test",
        rest=lambda _: None,
    )


def delete_posts(database: Database, post_ids: Sequence[int]) -> Purged:
    """Delete posts as ``lilin purge`` does when they are past their time."""
    change(database, post_ids, received_at=NOW - 400 * DAY)
    return clean(database, received_before=NOW - 399 * DAY)


def count(database: Database, table: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def ani(people: dict[str, Account]) -> Account:
    return people["ani"]


# --- texts -------------------------------------------------------------------------------------

CONTENTLESS = [
    "😭😭😭",
    "🕯️",
    "\u200b\u200b\u200d",
    "\u202e\u202d",
    "a",
    "7",
    "?!",
    "https://contoh.id/abc",
    "http://",
    "@budi @ani @citra",
    "#viral",
    "Z̷̧͇͚̰̤̪͝ą̵̛̦̻͇͒͑͘l̷̨͉̱̈́̀g̸̨̛̰̲̓o̶̡͔͑",
    "\n\n\t ",
    "<script>alert(1)</script>",
    "&amp;amp;amp;amp;",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]
FOREIGN = [
    "今天早上地铁里人太多了,根本没有座位,还好自己带了饭",
    "كان القطار مزدحما جدا هذا الصباح ولم أجد مكانا للجلوس",
    "Aku mau esuk numpak sepur kebak banget nganti ora oleh lungguh",
    "This morning the train was so crowded that nobody could sit down at all",
    "Сегодня утром поезд был переполнен, и сесть было негде",
]


@on_sqlite
def test_what_says_nothing_joins_nothing_but_its_own_copies(database: Database) -> None:
    texts = [*CONTENTLESS, *FOREIGN, HOAX]
    send(database, [storable(text) or "?" for text in texts])
    warn(database)
    send(database, [HOAX + " " + text for text in CONTENTLESS[:2]])
    warn(database)

    belong = belonging(database)
    hoax = belong[texts.index(HOAX)]
    assert belong.count(hoax) == 3
    for text, number in zip(FOREIGN, belong[len(CONTENTLESS) :], strict=False):
        assert belong.count(number) == 1, text
    books_agree(database)
    all_grouped(database)


@on_sqlite
@pytest.mark.parametrize("length", [10_000, 20_000])
def test_texts_as_long_as_may_be_are_told_apart_by_their_beginning(
    database: Database, length: int
) -> None:
    dice = random.Random(1)
    words = [f"kata{dice.randrange(900)}" for _ in range(length // 5)]
    long = f"{HOAX} {' '.join(words)}"[:length]
    send(database, [long, long[:-5] + "akhir", CHAT, "x" * length, " ".join("abc" * (length // 6))])
    warn(database)

    belong = belonging(database)
    assert belong[0] == belong[1]
    assert len(set(belong)) == 4
    books_agree(database)


@on_sqlite
def test_signs_that_no_database_keeps_come_in_as_what_is_left_of_them(database: Database) -> None:
    columns = ("text", "author", "platform", "created_at")
    values = (f"\0{HOAX}\ud800", "akun\0\udfff", "X", "2026-11-20 08:00")
    row = Post(line=2, text=str(values[0]), values=values, columns=columns)
    accept(database, [new_post(row, "feed:1 umpan")], SCORER.score_and_embed, UNQUEUED, model="f")
    send(database, [HOAX])
    warn(database)

    assert belonging(database) == [1, 1]
    books_agree(database)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated SQLite file to copy: migrating takes longer than most examples."""
    path = tmp_path_factory.mktemp("template") / "desk.db"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    with database.write() as session:
        session.add(Account(name="ani", role="moderator", password_hash="", created_at=NOW))
    database.close()
    return path


@pytest.fixture
def fresh(template: Path, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Return a function that returns an empty database, a new one every time."""
    made: list[Database] = []

    def make() -> Database:
        path = tmp_path / f"{len(made)}.db"
        shutil.copy(template, path)
        made.append(Database(f"sqlite:///{path}"))
        return made[-1]

    yield make
    for database in made:
        database.close()


ODD = st.text(min_size=1, max_size=60) | st.sampled_from([*CONTENTLESS, *FOREIGN, HOAX, RETOLD])
SECONDS = st.integers(631_152_000, 4_102_444_800)  # from 1990 to 2100
MOMENTS = st.none() | SECONDS.map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(ODD, MOMENTS), min_size=1, max_size=12))
def test_whatever_comes_at_whatever_time_is_grouped_measured_and_counted(
    fresh: Callable[[], Database], posts: list[tuple[str, datetime | None]]
) -> None:
    database = fresh()
    send(database, [storable(text) or "?" for text, _ in posts], at=[at for _, at in posts])
    warn(database, datetime.now(UTC))

    books_agree(database)
    all_grouped(database)
    assert count(database, select(Narrative.id).where(Narrative.due > 0).subquery()) == 0


# --- embeddings --------------------------------------------------------------------------------


def packed(values: Any) -> bytes:
    return np.asarray(values, np.float16).tobytes()


@on_sqlite
@pytest.mark.parametrize(
    "embedding",
    [
        packed([0.1] * 768),
        packed([0.1] * 3),
        b"\1",
        b"",
        packed([np.nan] * 384),
        packed([np.inf] * 384),
    ],
    ids=["wide", "narrow", "odd", "empty", "nan", "infinite"],
)
def test_an_embedding_of_another_model_counts_as_none(
    database: Database, ani: Account, embedding: bytes
) -> None:
    posts = send(database, [HOAX, RETOLD, HOAX + " ya", CHAT])
    change(database, posts[:2], embedding=embedding)
    warn(database)

    assert belonging(database)[2:] == [1, 3] or belonging(database)[2:] == [1, 2]
    with database.write() as session:
        service.merge(session, belonging(database)[3] or 0, 1, actor=ani, now=NOW, space=SPACE)
        service.recluster(session, SPACE, now=NOW)
    send(database, [HOAX, CHAT + " tadi"])
    warn(database)
    books_agree(database)
    with database.read() as session:
        for centre in session.scalars(select(Narrative.centre)):
            assert centre is None or np.isfinite(np.frombuffer(centre, np.float32)).all()


@on_sqlite
def test_a_centre_of_another_release_makes_no_likeness_and_no_error(database: Database) -> None:
    send(database, [HOAX])
    warn(database)
    with database.write() as session:
        session.execute(update(Narrative).values(centre=b"\0" * 8))
    send(database, [HOAX, RETOLD])
    warn(database)

    assert belonging(database)[:2] == [1, 1]
    books_agree(database)


# --- clocks ------------------------------------------------------------------------------------


@on_sqlite
def test_dates_of_feeds_are_aware_and_believable_or_none(database: Database) -> None:
    dates = {
        "2026-11-20 08:00": datetime(2026, 11, 20, 1, 0, tzinfo=UTC),  # no zone: WIB
        "20/11/2026 08:00": datetime(2026, 11, 20, 1, 0, tzinfo=UTC),
        "2026-11-20T08:00:00+09:00": datetime(2026, 11, 19, 23, 0, tzinfo=UTC),
        "1990-01-01": datetime(1989, 12, 31, 17, 0, tzinfo=UTC),
        "0001-01-01T00:00:00": None,
        "1901-01-01": None,
        "9999-12-31T23:59:59-12:00": None,
        "2099-01-01": None,
        "kemarin": None,
        "": None,
    }
    for written, meant in dates.items():
        columns, values = ("text", "created_at", "platform"), (HOAX, written, "x")
        post = new_post(Post(line=2, text=HOAX, values=values, columns=columns), "feed:1 u")
        assert post.posted_at == meant, written


@on_sqlite
def test_posts_of_any_year_are_placed_where_they_say_but_never_in_the_future(
    database: Database,
) -> None:
    said = [
        datetime(1990, 1, 1, tzinfo=UTC),
        datetime(2099, 1, 1, tzinfo=UTC),
        None,
        datetime.now(UTC) + timedelta(hours=7),  # local time that was taken for UTC
        NOW - 20 * DAY,
        NOW - timedelta(minutes=3),
    ]
    send(database, [HOAX] * len(said), at=said)
    warn(database)

    with database.read() as session:
        posts = session.scalars(select(StoredPost).order_by(StoredPost.id)).all()
    for post, at in zip(posts, said, strict=True):
        believed = at is not None and at <= post.received_at
        assert post.event_at == (at if believed else post.received_at)
    [narrative] = narratives(database)
    assert narrative.first_seen_at == said[0]
    assert narrative.last_seen_at <= datetime.now(UTC)
    books_agree(database)


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("age", [2 * DAY, 20 * DAY, 36 * 365 * DAY])
def test_an_archive_that_comes_in_at_once_raises_no_alert(
    database: Database, age: timedelta
) -> None:
    send(
        database,
        [f"{HOAX} {i}" for i in range(60)],
        at=[NOW - age + timedelta(minutes=i) for i in range(60)],
    )
    warn(database)

    [narrative] = narratives(database)
    assert (narrative.posts, narrative.stage) in ((60, Stage.PADAM), (60, Stage.QUIET))
    assert count(database, Alert) == 0
    books_agree(database)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(12)))
def test_the_order_in_which_posts_come_in_does_not_change_the_measurement(
    fresh: Callable[[], Database], order: list[int]
) -> None:
    found = []
    for turn in (list(range(12)), order):
        database = fresh()
        texts = [HOAX if i % 3 else RETOLD for i in turn]
        send(
            database,
            texts,
            at=[NOW - timedelta(minutes=7 * (12 - i)) for i in turn],
            account=None,
            platform="x",
        )
        warn(database)
        [narrative] = narratives(database)
        assert narrative.spread is not None
        times = narrative.first_seen_at, narrative.last_seen_at
        learned = ("expected", "surprise", "window_hours", "window_posts")  # the hours' usual level
        spread = {k: v for k, v in narrative.spread.items() if k not in learned}
        found.append((narrative.stage, times, spread))
    assert found[0] == found[1]


@on_sqlite
def test_a_lease_written_by_a_wrong_clock_keeps_nobody_away(database: Database) -> None:
    send(database, [HOAX, CHAT])
    with database.write() as session:
        head = session.scalars(select(NarrativeHead)).one()
        head.owner, head.owner_until = "grouping-dead", datetime.now(UTC) + 300 * DAY

    assert Grouping(database, SPACE).group().posts == 2


def test_whoever_drains_does_not_wait_for_one_who_was_killed(database: Database) -> None:
    send(database, [HOAX, CHAT])
    killed = Grouping(database, SPACE)
    killed.group(limit=1)
    assert Grouping(database, SPACE).group().posts == 0  # it may be alive

    warn(database)

    all_grouped(database)
    books_agree(database)
    with database.read() as session:
        assert session.scalars(select(NarrativeHead.owner)).one() is None
    assert killed.group().posts == 0
    send(database, [HOAX])
    assert killed.group().posts == 1  # what it remembered is read anew
    assert belonging(database)[2] == belonging(database)[0]
    assert timedelta() < OWNED < timedelta(minutes=1)


# --- sizes -------------------------------------------------------------------------------------


@on_sqlite
def test_names_as_long_as_columns_allow_and_reach_beyond_all_people(database: Database) -> None:
    posts = send(
        database,
        [HOAX] * 3,
        account="n" * 200,
        platform="p" * 40,
        engagement={"views": 10**12, "shares": 10**12},
    )
    warn(database)

    [narrative] = narratives(database)
    assert narrative.accounts == 1
    assert narrative.reach == MAXIMUM_REACH * len(posts)
    books_agree(database)


def test_reach_that_grows_when_posts_are_sent_again_is_counted(database: Database) -> None:
    texts = [HOAX, HOAX + " ya", CHAT]
    send(database, texts)
    warn(database)
    before = [n.reach for n in narratives(database)]

    again = [
        NewPost(text=text, platform=p, external_id=str(i + 1), engagement={"views": 1000 * (i + 1)})
        for i, (text, p) in enumerate(zip(texts, ("x", "facebook", "x"), strict=True))
    ]
    accept(database, again, SCORER.score_and_embed, UNQUEUED, model=SCORER.version)
    books_agree(database)  # as it was counted
    warn(database)

    books_agree(database)
    all_grouped(database)
    assert [n.reach for n in narratives(database)] == [3020, 3010]
    assert before == [20, 10]


@on_sqlite
def test_a_large_narrative_that_was_merged_still_takes_what_tells_the_same(
    database: Database, ani: Account
) -> None:
    send(database, [HOAX if i % 2 else RETOLD for i in range(service.CENTRE_POSTS * 3)])
    send(database, [OTHER])
    group(database)
    assert set(belonging(database)) == {1, 2}
    with database.write() as session:
        service.merge(session, 2, 1, actor=ani, now=NOW, space=SPACE)
    told = (
        "Katanya rekening orang tua bakal dipotong mulai bulan depan, buat makan siang di sekolah"
    )
    send(database, [f"{told}, apa betul?"])  # no copy: it means the same
    group(database)

    assert belonging(database)[-1] == 1
    with database.read() as session:
        assert session.scalars(select(StoredPost.joined_by)).all()[-1] == "meaning"
    books_agree(database)


# --- between two steps -------------------------------------------------------------------------


def test_narratives_that_were_emptied_do_not_stand_in_the_way_of_others(
    database: Database,
) -> None:
    send(database, [HOAX])
    with database.write() as session:
        session.execute(update(NarrativeHead).values(next_id=5000))
    group(database)
    with database.write() as session:
        session.add_all(
            Narrative(
                id=1000 + i,
                title="",
                keywords=[],
                reasons=[],
                platforms={},
                labels={},
                first_seen_at=NOW,
                last_seen_at=NOW,
                last_post_id=0,
                due=2,
                look_at=NOW,
                merged_into_id=5000 if i % 2 else None,
                **dict.fromkeys(("posts", "accounts", "reach", "risk_sum", "risk"), 0),
            )
            for i in range(watch.ROUND + 20)
        )

    warn(database)

    assert narratives(database)[-1].measured_at == NOW
    assert not any(n.due or n.look_at for n in narratives(database)[:-1])


def test_what_was_merged_while_it_was_due_is_measured_where_it_went(
    database: Database, ani: Account
) -> None:
    send(database, [HOAX, OTHER, HOAX + " ya"])
    group(database)
    with database.write() as session:
        service.merge(session, 1, 2, actor=ani, now=NOW, space=SPACE)
    warn(database)

    source, into = narratives(database)
    assert (source.due, source.stage, source.measured_at) == (0, "quiet", None)
    assert into.measured_at == NOW
    books_agree(database)


def test_copies_that_were_split_off_their_first_post_have_words_of_their_own(
    database: Database, ani: Account
) -> None:
    posts = send(database, [HOAX] * 6)
    warn(database)
    with database.write() as session:
        made = service.split(session, 1, posts[2:], actor=ani, now=NOW, space=SPACE)
    warn(database)

    for narrative in narratives(database):
        assert "rekening" in narrative.title.lower()
    assert "dipotong" in narratives(database)[made.id - 1].keywords
    books_agree(database)


def test_posts_deleted_between_grouping_and_watch_are_not_measured(database: Database) -> None:
    posts = send(database, [HOAX, HOAX + " ya", RETOLD, OTHER])
    group(database)
    delete_posts(database, [posts[0], posts[1], posts[3]])
    warn(database)

    [narrative] = narratives(database)
    assert narrative.spread is not None
    assert narrative.spread["posts"] == narrative.posts == 1
    books_agree(database)


def test_a_hostile_title_is_text_and_nothing_else(
    database: Database, enter: Callable[..., TestClient]
) -> None:
    evil = (
        "<img src=x onerror=alert(1)> \"'><script>alert(2)</script> Viralkan! Rekening orang tua "
        "dipotong Rp150.000 untuk makan siang sekolah =HYPERLINK(1)"
    )
    send(database, [evil, evil + " ya", evil + " lho"], rules=QueueRules(threshold=0.0))
    warn(database)

    browser = enter("budi")
    for path in ("/narasi?minimal=1", "/narasi/1", "/", "/peringatan", "/v1/narratives/1"):
        page = browser.get(path)
        assert page.status_code == 200, path
        if not path.startswith("/v1/"):
            assert "<script>alert" not in page.text
            assert "<img src=x" not in page.text
    assert "&lt;img src=x" in browser.get("/narasi/1").text


# --- deletion ----------------------------------------------------------------------------------


def test_deleted_posts_leave_counts_and_names_and_an_empty_narrative_goes(
    database: Database,
) -> None:
    secret = "Viralkan! Pak Rahasia dari kampung Tersembunyi menyimpan uang palsu di rumahnya"
    posts = send(database, [HOAX, HOAX + " ya", RETOLD, HOAX, secret])
    warn(database)
    number = belonging(database)[4]
    with database.read() as session:
        assert session.scalar(select(Alert.id).where(Alert.narrative_id == 1)) is not None
    old = posts[:2] + posts[4:]
    change(database, old, received_at=NOW - 400 * DAY)
    cut = NOW - 399 * DAY
    with database.write() as session:
        session.execute(update(Alert).values(at=NOW - 300 * DAY))
    expected = would_purge(database, older_than=DAY, now=cut + DAY)

    found = clean(database, received_before=cut)

    assert found == expected
    assert (found.posts, found.narratives) == (3, 1)
    books_agree(database)
    [left] = narratives(database)
    assert (left.id, left.posts, left.accounts) == (1, 2, 2)
    assert left.title_post_id in posts[2:4]
    warn(database)
    with database.read() as session:
        said = [n.title + " ".join(n.keywords) for n in session.scalars(select(Narrative))]
        said += [str(e.details) for e in session.scalars(select(NarrativeEvent))]
        assert not [text for text in said if "Rahasia" in text or "kampung" in text.lower()]
        for table in (NarrativeBucket, NarrativeAccount, NarrativeEvent, Alert, AlertCandidate):
            wanted = select(func.count()).where(table.narrative_id == number)
            assert session.scalar(wanted) == 0, table
        digests = set(session.scalars(select(Digest.post_id)))
        assert digests <= set(posts[2:4])


def test_an_open_item_keeps_its_post_and_so_its_narrative(database: Database) -> None:
    posts = send(database, [HOAX, HOAX + " ya"], rules=QueueRules(threshold=0.0))
    warn(database)
    with database.write() as session:
        item = session.scalars(select(QueueItem).where(QueueItem.post_id == posts[0])).one()
        item.open, item.state = False, State.DECIDED

    found = delete_posts(database, posts)

    assert (found.posts, found.narratives) == (1, 0)
    [narrative] = narratives(database)
    assert (narrative.posts, narrative.title_post_id) == (1, posts[1])
    books_agree(database)


def test_copies_of_a_deleted_post_keep_the_next_copies_together(database: Database) -> None:
    short = "Bensin naik besok"  # too short to join by meaning
    posts = send(database, [short, short, short])
    warn(database)
    delete_posts(database, posts[:1])
    send(database, [short])
    warn(database)

    assert set(belonging(database)) == {1}
    books_agree(database)
    [narrative] = narratives(database)
    assert narrative.title == short
    delete_posts(database, posts[1:3])
    warn(database)
    books_agree(database)
    assert narratives(database)[0].title == short


def test_the_name_of_what_was_merged_goes_with_its_post(database: Database, ani: Account) -> None:
    secret = "Viralkan! Pak Rahasia menyimpan uang palsu di rumahnya kampung sebelah"
    posts = send(database, [HOAX, secret, OTHER])
    group(database)
    with database.write() as session:
        service.merge(session, 2, 1, actor=ani, now=NOW, space=SPACE)
        service.merge(session, 1, 3, actor=ani, now=NOW, space=SPACE)
    delete_posts(database, posts[1:2])

    books_agree(database)
    assert "Rahasia" not in str([(n.title, n.keywords) for n in narratives(database)])
    with database.write() as session:
        service.undo(session, 3, actor=ani, now=NOW, space=SPACE)
        with pytest.raises(NothingToUndo):  # what was merged there is no more
            service.undo(session, 1, actor=ani, now=NOW, space=SPACE)
    books_agree(database)

    found = delete_posts(database, [posts[0], posts[2]])
    assert found.narratives == 2
    assert count(database, Narrative) == 0


def test_undoing_a_merge_after_the_rest_was_deleted_leaves_no_empty_narrative(
    database: Database, ani: Account
) -> None:
    posts = send(database, [HOAX, OTHER])
    warn(database)
    with database.write() as session:
        service.merge(session, 2, 1, actor=ani, now=NOW, space=SPACE)
    delete_posts(database, posts[:1])
    with database.write() as session:
        service.undo(session, 1, actor=ani, now=NOW, space=SPACE)

    first, second = narratives(database)
    assert (first.merged_into_id, first.posts) == (2, 0)
    assert (second.merged_into_id, second.posts) == (None, 1)
    books_agree(database)


def test_whoever_groups_remembers_nothing_of_what_was_deleted(database: Database) -> None:
    posts = send(database, [HOAX, CHAT])
    grouping = Grouping(database, SPACE)
    grouping.group()
    delete_posts(database, posts)
    send(database, [" ".join(reversed(HOAX.split())), HOAX])
    grouping.group()

    assert belonging(database) == [3, 3]
    assert [n.id for n in narratives(database)] == [3]
    books_agree(database)


# --- all of it, in any order -------------------------------------------------------------------

TEXTS = [HOAX, HOAX + " ya", RETOLD, OTHER, OTHER + " segera", CHAT, "😭", "Fwd: " + HOAX]
NUMBER = st.integers(0, 30)
STEP = st.one_of(
    st.tuples(st.just("come"), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5), NUMBER),
    st.tuples(st.just("again"), NUMBER, NUMBER),
    st.tuples(st.just("group"), st.integers(1, 4), NUMBER),
    st.tuples(st.just("watch"), NUMBER, NUMBER),
    st.tuples(st.just("merge"), NUMBER, NUMBER),
    st.tuples(st.just("split"), NUMBER, NUMBER),
    st.tuples(st.just("undo"), NUMBER, NUMBER),
    st.tuples(st.just("delete"), NUMBER, NUMBER),
    st.tuples(st.just("night"), NUMBER, NUMBER),
)


class Story:
    """A desk on which things happen one after another."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.grouping = Grouping(database, SPACE)
        with database.read() as session:
            self.ani = session.scalars(select(Account)).first()

    def play(self, what: str, a: Any, b: int) -> None:
        """Do one thing; ``a`` and ``b`` choose among what there is."""
        if what == "come":
            send(self.database, a, at=[NOW - timedelta(hours=b + i) for i in range(len(a))])
        elif what == "group":
            self.grouping.group(limit=a, take_over=True)
        elif what == "watch":
            with self.database.write() as session:
                now = NOW + timedelta(hours=a)
                watch.work(session, SPACE, now=now, rules=AlertRules())
        elif what in ("again", "delete"):
            self._posts(what, a, b)
        else:
            self._by_hand(what, a, b)

    def _posts(self, what: str, a: int, b: int) -> None:
        with self.database.read() as session:
            posts = session.scalars(select(StoredPost).order_by(StoredPost.id)).all()
        if not posts:
            return
        if what == "delete":
            delete_posts(self.database, [p.id for p in posts[a % len(posts) :][: b % 4]])
            return
        post = posts[a % len(posts)]
        same = NewPost(
            text=post.text,
            platform=post.platform,
            external_id=post.external_id,
            engagement={"views": b * 100},
        )
        accept(self.database, [same], SCORER.score_and_embed, UNQUEUED, model="fake-1")

    def _by_hand(self, what: str, a: int, b: int) -> None:
        known = [n.id for n in narratives(self.database)] or [1]
        one, two = known[a % len(known)], known[b % len(known)]
        how: dict[str, Any] = {"actor": self.ani, "now": NOW, "space": SPACE}
        try:
            with self.database.write() as session:
                if what == "merge":
                    service.merge(session, one, two, **how)
                elif what == "undo":
                    service.undo(session, one, **how)
                elif what == "night":
                    service.recluster(session, SPACE, now=NOW)
                else:
                    own = select(StoredPost.id).where(StoredPost.narrative_id == one)
                    service.split(session, one, sorted(session.scalars(own))[: 1 + b % 3], **how)
        except (BadNarratives, NotFound, NothingToUndo):
            pass

    def end(self) -> None:
        """Let everything come to rest, and check that nothing waits."""
        self.grouping.release()
        warn(self.database, NOW + 5 * DAY)
        all_grouped(self.database)
        books_agree(self.database)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEP, min_size=1, max_size=25))
def test_after_any_sequence_of_things_the_books_agree(
    fresh: Callable[[], Database], steps: list[tuple[str, Any, int]]
) -> None:
    story = Story(fresh())
    for step in steps:
        story.play(*step)
        books_agree(story.database)
    story.end()


def test_after_a_long_story_the_books_agree(database: Database, ani: Account) -> None:
    dice = random.Random(7)
    story = Story(database)
    for _ in range(150):
        what = dice.choice(
            ["come", "come", "group", "group", "again", "watch", "merge", "split", "undo", "delete"]
        )
        first: Any = dice.randrange(30)
        if what == "come":
            first = [dice.choice(TEXTS) for _ in range(dice.randint(1, 6))]
        elif what == "group":
            first = dice.randint(1, 8)
        story.play(what, first, dice.randrange(30))
        if dice.random() < 0.2:
            books_agree(database)
    story.end()
