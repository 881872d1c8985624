"""Narratives at the desk: grouped as posts come in, counted, measured, merged, split, undone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from models.fake import FakeScorer
from pipeline.spread import Stage, aggregate_risk
from service.alerts.service import AlertRules
from service.database import Database
from service.errors import BadNarratives, NotFound, NothingToUndo
from service.narratives import service, watch
from service.narratives.grouping import Grouping, event_time
from service.narratives.loop import EarlyWarning
from service.posts.intake import NewPost, accept
from service.queue.service import QueueRules
from service.tables import (
    Account,
    Alert,
    Digest,
    Narrative,
    NarrativeAccount,
    NarrativeBucket,
    NarrativeEvent,
    StoredPost,
)

SCORER = FakeScorer()
SPACE = SCORER.space
RULES = QueueRules(threshold=0.5)
NOW = datetime.now(UTC).replace(microsecond=0)
HOAX = "Viralkan! Mulai bulan depan rekening orang tua dipotong Rp150.000 untuk makan siang sekolah"
RETOLD = "Sebarkan! Rekening orang tua katanya dipotong Rp150.000 mulai bulan depan buat makan siang sekolah"
OTHER = "Undian resmi hadiah mobil listrik dari bank pusat, kirim kode ke nomor panitia sekarang"
CHAT = "Tadi pagi kereta penuh sekali sampai tidak bisa duduk, untung bawa bekal dari rumah"


def send(
    database: Database,
    texts: Sequence[str],
    *,
    minutes_ago: Sequence[float] = (),
    first: int = 1,
    same_account: bool = False,
) -> list[int]:
    posts = [
        NewPost(
            text=text,
            platform=("x", "facebook")[i % 2],
            external_id=f"{first + i}",
            account="akun_satu" if same_account else f"akun{first + i}",
            posted_at=NOW - timedelta(minutes=minutes_ago[i] if minutes_ago else len(texts) - i),
        )
        for i, text in enumerate(texts)
    ]
    done = accept(database, posts, SCORER.score_and_embed, RULES, model="fake-1")
    return [accepted.post.id for accepted in done]


def group(database: Database, grouping: Grouping | None = None, *, limit: int = 500) -> None:
    used = grouping or Grouping(database, SPACE)
    while used.group(limit=limit).posts:
        pass
    if grouping is None:
        used.release()


def narratives(database: Database) -> list[Narrative]:
    with database.read() as session:
        return list(session.scalars(select(Narrative).order_by(Narrative.id)))


def belonging(database: Database) -> list[int | None]:
    with database.read() as session:
        return list(session.scalars(select(StoredPost.narrative_id).order_by(StoredPost.id)))


def work(database: Database, now: datetime = NOW) -> int:
    with database.write() as session:
        return watch.work(session, SPACE, now=now, rules=AlertRules())


def account(database: Database) -> Account:
    with database.write() as session:
        made = Account(name="ani", role="moderator", password_hash="", created_at=NOW)
        session.add(made)
    return made


def totals_agree(database: Database) -> None:
    """Check that what narratives say of themselves is what their posts say."""
    with database.read() as session:
        for n in session.scalars(select(Narrative)):
            posts = session.scalars(select(StoredPost).where(StoredPost.narrative_id == n.id)).all()
            assert n.posts == len(posts)
            if not posts:
                continue
            assert n.first_seen_at == min(p.event_at for p in posts if p.event_at)
            assert n.last_seen_at == max(p.event_at for p in posts if p.event_at)
            assert n.risk == pytest.approx(aggregate_risk(sum(p.risk for p in posts), len(posts)))
            assert n.reach == sum(p.reach for p in posts)
            assert sum(n.platforms.values()) == n.posts == sum(n.labels.values())
            assert n.accounts == len({(p.platform, p.account) for p in posts if p.account})
            for table in (NarrativeBucket, NarrativeAccount):
                counted = select(func.sum(table.posts)).where(table.narrative_id == n.id)
                assert session.scalar(counted) == n.posts


def test_every_post_joins_a_narrative_with_right_totals(database: Database) -> None:
    send(database, [HOAX, "Fwd: " + HOAX, RETOLD, OTHER, CHAT, "😭😭", HOAX.upper() + " !!!"])

    group(database)

    assert belonging(database) == [1, 1, 1, 2, 3, 4, 1]
    totals_agree(database)


def test_the_batches_and_restarts_of_the_grouping_change_nothing(database: Database) -> None:
    texts = [HOAX, CHAT, "Fwd: " + HOAX, OTHER, RETOLD, OTHER + " segera!", HOAX, CHAT + " wkwk"]
    send(database, texts * 3)
    other = Database(database.url.render_as_string(hide_password=False))

    grouping = Grouping(database, SPACE)
    grouping.group(limit=7)
    grouping.group(limit=1)
    grouping.release()
    again = Grouping(other, SPACE)
    group(other, again, limit=5)
    other.close()

    first = texts.index(OTHER)
    assert belonging(database) == [1, 2, 1, 3, 1, 3, 1, 2] * 3
    assert first == 3
    totals_agree(database)


def test_while_one_groups_another_leaves_it_alone(database: Database) -> None:
    send(database, [HOAX, CHAT])
    one, two = Grouping(database, SPACE), Grouping(database, SPACE)

    assert one.group(limit=1).posts == 1
    assert two.group().posts == 0
    assert one.group().posts == 1


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_groupings_side_by_side_place_each_post_once(database: Database) -> None:
    send(database, [f"{HOAX} {i}" for i in range(60)])
    groupings = [Grouping(database, SPACE) for _ in range(4)]

    def work_on(grouping: Grouping) -> None:
        for _ in range(20):
            grouping.group(limit=5)

    threads = [threading.Thread(target=work_on, args=(g,)) for g in groupings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert None not in belonging(database)
    totals_agree(database)


def test_a_round_that_fails_leaves_its_posts_for_the_next(database: Database) -> None:
    send(database, [HOAX, OTHER])
    grouping = Grouping(database, SPACE)
    grouping.group(limit=1)
    with database.write() as session:  # another has stored its number 2 meanwhile
        session.add(Narrative(**_row(2)))
    with pytest.raises(IntegrityError):
        grouping.group()
    assert belonging(database) == [1, None]

    with database.write() as session:
        session.delete(session.get_one(Narrative, 2))
    group(database, grouping)

    assert belonging(database) == [1, 2]
    totals_agree(database)


def _row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "title": "",
        "first_seen_at": NOW,
        "last_seen_at": NOW,
        "last_post_id": 1,
        **dict.fromkeys(("posts", "accounts", "reach", "risk_sum", "risk"), 0),
        **{name: {} for name in ("platforms", "labels")},
        **{name: [] for name in ("keywords", "reasons")},
    }


def test_a_wrong_clock_does_not_make_the_future(database: Database) -> None:
    received = NOW
    assert event_time(None, received) == received
    assert event_time(NOW + timedelta(days=400), received) == received
    assert event_time(NOW + timedelta(minutes=2), received) == NOW + timedelta(minutes=2)
    assert event_time(NOW - timedelta(days=9), received) == NOW - timedelta(days=9)


def test_posts_late_by_days_start_no_burst_now(database: Database) -> None:
    send(database, [HOAX] * 30, minutes_ago=[6 * 24 * 60 + i for i in range(30)])
    group(database)

    work(database)

    [narrative] = narratives(database)
    assert narrative.stage == Stage.PADAM
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alert)) == 0


def test_a_narrative_that_catches_gets_its_stage_a_title_and_one_alert(database: Database) -> None:
    texts = [HOAX, "Fwd: " + HOAX, RETOLD, HOAX + " 😡", "Tolong sebarkan " + HOAX, RETOLD + "!!"]
    send(database, texts, minutes_ago=[50, 40, 28, 15, 8, 1])
    group(database)

    while work(database):
        pass
    for minute in range(5):
        while work(database, NOW + timedelta(minutes=minute)):
            pass

    [narrative] = narratives(database)
    assert narrative.stage == Stage.OBOR
    assert "rekening" in narrative.title.lower()
    assert "dipotong" in narrative.keywords
    assert narrative.spread is not None
    assert narrative.spread["posts"] == 6
    with database.read() as session:
        alerts = session.scalars(select(Alert)).all()
        events = session.scalars(select(NarrativeEvent)).all()
    assert [a.kind for a in alerts] == ["obor"]
    assert [(e.kind, e.details["to"]) for e in events] == [("stage", "obor")]


def test_silence_alone_puts_a_narrative_out(database: Database) -> None:
    send(database, [HOAX, RETOLD, HOAX + " ya"], minutes_ago=[30, 20, 10])
    group(database)
    work(database)
    [before] = narratives(database)

    for hour in range(0, 96, 2):
        work(database, NOW + timedelta(hours=hour))

    assert before.stage in (Stage.LILIN, Stage.OBOR)
    [narrative] = narratives(database)
    assert narrative.stage == Stage.PADAM
    assert narrative.look_at is None


def test_ten_thousand_copies_in_a_minute_are_one_narrative_with_one_text_to_compare(
    database: Database,
) -> None:
    for start in range(0, 10_000, 2_500):
        send(
            database,
            [HOAX] * 2_500,
            minutes_ago=[(i % 60) / 60 for i in range(2_500)],
            first=start + 1,
        )
    group(database)
    while work(database):
        pass

    [narrative] = narratives(database)
    assert narrative.posts == narrative.accounts == 10_000
    assert narrative.stage == Stage.API
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Digest)) == 1
        kinds = session.scalars(select(Alert.kind)).all()
    assert kinds == ["api"]


def test_a_merge_moves_everything_and_its_undo_brings_it_back(database: Database) -> None:
    ani = account(database)
    send(database, [HOAX, OTHER, "Fwd: " + HOAX, OTHER + " segera"])
    group(database)
    before = [(n.id, n.posts, n.accounts, n.reach) for n in narratives(database)]

    with database.write() as session:
        service.merge(session, 2, 1, actor=ani, now=NOW, space=SPACE)
    assert belonging(database) == [1, 1, 1, 1]
    totals_agree(database)
    merged = narratives(database)[1]
    assert (merged.merged_into_id, merged.posts, merged.stage) == (1, 0, "quiet")

    send(database, [OTHER], first=9)  # what was merged keeps its copies together
    group(database)
    assert belonging(database) == [1, 1, 1, 1, 1]

    with database.write() as session:
        service.undo(session, 1, actor=ani, now=NOW, space=SPACE)
    assert belonging(database) == [1, 2, 1, 2, 1]  # who came since stays
    totals_agree(database)
    assert [n.merged_into_id for n in narratives(database)] == [None, None]
    assert [n.posts for n in narratives(database)] == [before[0][1] + 1, before[1][1]]
    with database.write() as session, pytest.raises(NothingToUndo):
        service.undo(session, 1, actor=ani, now=NOW, space=SPACE)


def test_a_split_makes_a_narrative_that_its_copies_follow(database: Database) -> None:
    ani = account(database)
    posts = send(database, [HOAX, "Fwd: " + HOAX, RETOLD, RETOLD + "!!"])
    group(database)
    assert belonging(database) == [1, 1, 1, 1]

    with database.write() as session:
        made = service.split(session, 1, posts[2:], actor=ani, now=NOW, space=SPACE)
    assert belonging(database) == [1, 1, made.id, made.id]
    totals_agree(database)

    send(database, [RETOLD, HOAX], first=9)
    group(database)
    assert belonging(database)[4:] == [made.id, 1]

    with database.write() as session:
        service.undo(session, 1, actor=ani, now=NOW, space=SPACE)
    assert belonging(database) == [1] * 6
    totals_agree(database)


def test_what_cannot_be_merged_or_split_is_said_plainly(database: Database) -> None:
    ani = account(database)
    posts = send(database, [HOAX, OTHER])
    group(database)

    def refused(message: str, error: type[Exception], act: object) -> None:
        assert callable(act)
        with pytest.raises(error, match=message), database.write() as session:
            act(session)

    def merge(a: int, b: int) -> object:
        return lambda s: service.merge(s, a, b, actor=ani, now=NOW, space=SPACE)

    def split(chosen: Sequence[int]) -> object:
        return lambda s: service.split(s, 1, chosen, actor=ani, now=NOW, space=SPACE)

    refused("into itself", BadNarratives, merge(1, 1))
    refused("no narrative 77", NotFound, merge(77, 1))
    refused("none of these", BadNarratives, split([posts[1]]))
    refused("at least one", BadNarratives, split([posts[0]]))
    with database.write() as session:
        service.merge(session, 2, 1, actor=ani, now=NOW, space=SPACE)
    refused("merged into 1", BadNarratives, merge(2, 1))


def test_the_nightly_look_merges_what_tells_the_same_says_why_and_is_undone(
    database: Database,
) -> None:
    ani = account(database)
    turned = " ".join(reversed(HOAX.split()))
    posts = send(database, [HOAX, turned, CHAT])
    group(database)
    assert belonging(database) == [1, 1, 2]
    with database.write() as session:  # as if they had begun apart
        service.split(session, 1, posts[1:2], actor=ani, now=NOW, space=SPACE)
    with database.write() as session:
        for event in session.scalars(select(NarrativeEvent)):
            session.delete(event)

    with database.write() as session:
        merged = service.recluster(session, SPACE, now=NOW)
    assert len(merged) == 1
    assert len(set(belonging(database))) == 2
    totals_agree(database)
    with database.read() as session:
        [event] = session.scalars(select(NarrativeEvent)).all()
    assert event.kind == "recluster"
    assert event.details["likeness"] >= 0.9
    assert event.actor == "nightly"

    with database.write() as session:
        service.undo(session, event.narrative_id, actor=ani, now=NOW, space=SPACE)
        again = service.recluster(session, SPACE, now=NOW)
    assert again == []  # a person parted them
    totals_agree(database)


def test_the_loop_brings_a_post_from_the_intake_to_an_alert(database: Database) -> None:
    send(
        database,
        [HOAX, "Fwd: " + HOAX, RETOLD, HOAX + " 😡", RETOLD + "!!"],
        minutes_ago=[40, 28, 15, 8, 1],
    )

    EarlyWarning(database, SPACE, AlertRules(), clock=lambda: NOW).drain()

    with database.read() as session:
        assert session.scalars(select(Alert.kind)).all() == ["obor"]
        assert session.scalar(select(func.count()).where(Narrative.due > 0)) == 0
