"""Narratives by hand: merge, split, undo; and the nightly look for those that tell the same.

Whoever changes a narrative holds the lock of ``narrative_head``, as the grouping does, and counts
its version up, so that nobody goes on with what they remember. After the head come narratives,
then posts in order, then the trail: so nobody waits for one who waits for him. What was done is kept in
``narrative_events`` with the posts it moved: that is what undo reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from models.likeness import Space
from models.text import normalise
from pipeline.grouping import Likely, alike, state_of
from pipeline.narratives import Arrival, State
from pipeline.spread import aggregate_risk
from pipeline.titles import lead_of
from service.alerts.service import carry_over
from service.audit import trail as audit
from service.errors import BadNarratives, NotFound, NothingToUndo
from service.narratives.counts import (
    COUNTED,
    FLAGGED,
    account_number,
    add_buckets,
    bucket_of,
    write_accounts,
)
from service.narratives.forgetting import retitle, scaled
from service.narratives.grouping import MEASURE
from service.narratives.placing import pack_profile, state_from, unpack_embedding
from service.tables import (
    Account,
    Narrative,
    NarrativeAccount,
    NarrativeBucket,
    NarrativeEvent,
    NarrativeHead,
    StoredPost,
)

MERGE: Final = "merge"
SPLIT: Final = "split"
RECLUSTER: Final = "recluster"
_UNDOABLE: Final = (MERGE, SPLIT, RECLUSTER)
CENTRE_POSTS: Final = 1_000
"""Latest posts from which a centre is made anew: older ones weigh next to nothing."""
CONSIDERED: Final = 3_000
"""Narratives that the nightly look compares: those that had a post last."""
MOST_MERGED: Final = 50
"""Merges of one nightly transaction: some second, in which nobody else groups or, on SQLite, writes."""
ALIKE: Final = 0.9
"""Likeness, both ways, from which the nightly look merges two narratives: a mistake of the night
costs a person a minute, so it must be surer than the placing of one post."""
ACTOR: Final = "nightly"
_PART: Final = 5_000


def merge(
    session: Session,
    source_id: int,
    into_id: int,
    *,
    actor: Account,
    now: datetime,
    space: Space,
) -> Narrative:
    """Move all posts of one narrative into another, which is returned.

    Raises:
        NotFound: there is no such narrative.
        BadNarratives: they are one and the same, or one was merged before.
    """
    head = _hold(session)
    source, into = _open(session, source_id), _open(session, into_id)
    if source.id == into.id:
        raise BadNarratives("a narrative cannot be merged into itself; give another number")
    count = _merge(
        session, source, into, kind=MERGE, actor=actor.name, now=now, space=space, why={}
    )
    _say_merged(session, MERGE, actor.name, source.id, into.id, count)
    head.version += 1
    return into


def _merge(
    session: Session,
    source: Narrative,
    into: Narrative,
    *,
    kind: str,
    actor: str,
    now: datetime,
    space: Space,
    why: dict[str, Any],
) -> int:
    """Move all posts of ``source`` and return how many they are; the trail is the caller's."""
    moved = _posts_of(session, source.id)
    _move(session, moved, into.id)
    carry_over(session, [source.id], into.id)
    _empty(source, into.id)
    session.flush()
    rebuild(session, [into.id, source.id], space)
    _note(session, into.id, kind, actor, now, source=source.id, posts=moved, **why)
    return len(moved)


def _say_merged(
    session: Session, kind: str, actor: str, source_id: int, into_id: int, posts: int
) -> None:
    audit.record(
        session,
        actor=actor,
        action=f"narrative.{kind}",
        subject=f"narrative:{into_id}",
        source=source_id,
        posts=posts,
    )


def split(
    session: Session,
    narrative_id: int,
    post_ids: Iterable[int],
    *,
    actor: Account,
    now: datetime,
    space: Space,
) -> Narrative:
    """Move some posts of a narrative into a new one, which is returned.

    Raises:
        NotFound: there is no such narrative.
        BadNarratives: none of the posts is in it, or no post would be left.
    """
    head = _hold(session)
    narrative = _open(session, narrative_id)
    own = set(_posts_of(session, narrative.id))
    chosen = sorted(own & set(post_ids))
    if not chosen:
        raise BadNarratives("none of these posts is in the narrative; choose some of its own")
    if len(chosen) == len(own):
        raise BadNarratives("all posts were chosen; leave at least one in the narrative")
    made = _begin(session, head, chosen)
    _move(session, chosen, made.id)
    session.flush()
    rebuild(session, [narrative.id, made.id], space)
    _note(session, narrative.id, SPLIT, actor.name, now, new=made.id, posts=chosen)
    audit.record(
        session,
        actor=actor.name,
        action="narrative.split",
        subject=f"narrative:{narrative.id}",
        new=made.id,
        posts=len(chosen),
    )
    head.version += 1
    return made


def undo(
    session: Session, narrative_id: int, *, actor: Account, now: datetime, space: Space
) -> None:
    """Take back the last merge or split of a narrative that was not taken back yet.

    Posts that have joined since stay where they are; after a split, all posts of the new narrative
    come back. What has no posts left to move is passed over: they were deleted, or went elsewhere.

    Raises:
        NotFound: there is no such narrative.
        NothingToUndo: nothing was merged into it or split off, or it was taken back.
    """
    head = _hold(session)
    narrative = _open(session, narrative_id)
    event, other, moved = _last_done(session, narrative)
    if event.kind == SPLIT:
        _move(session, moved, narrative.id)
        carry_over(session, [other.id], narrative.id)
        _empty(other, narrative.id)
    else:
        other.merged_into_id = None
        session.flush()
        _move(session, moved, other.id)
        if not _posts_of(session, narrative.id):  # those it had before are no more
            _empty(narrative, other.id)
    session.flush()
    rebuild(session, [narrative.id, other.id], space)
    event.undone_at = now
    audit.record(
        session,
        actor=actor.name,
        action="narrative.undo",
        subject=f"narrative:{narrative.id}",
        what=event.kind,
        other=other.id,
    )
    head.version += 1


def _last_done(
    session: Session, narrative: Narrative
) -> tuple[NarrativeEvent, Narrative, list[int]]:
    """Return what can be taken back, the other narrative, and the posts that it would move."""
    events = session.scalars(
        select(NarrativeEvent)
        .where(
            NarrativeEvent.narrative_id == narrative.id,
            NarrativeEvent.kind.in_(_UNDOABLE),
            NarrativeEvent.undone_at.is_(None),
        )
        .order_by(NarrativeEvent.id.desc())
    ).all()
    own: set[int] | None = None
    for event in events:
        other_id = int(event.details["new" if event.kind == SPLIT else "source"])
        if event.kind == SPLIT:
            moved = _posts_of(session, other_id)
        else:
            own = set(_posts_of(session, narrative.id)) if own is None else own
            moved = sorted(own.intersection(event.details["posts"]))
        if moved:
            return event, _get(session, other_id), moved
    raise NothingToUndo("nothing was merged into this narrative or split off it")


# --- the nightly look ----------------------------------------------------------------------------


def recluster(session: Session, space: Space, *, now: datetime) -> list[tuple[int, int]]:
    """Merge narratives that turned out to tell the same; return ``(source, into)`` pairs.

    A narrative may begin twice before the posts come that tie the two together. Each merge is kept
    as an event that says how alike they are and by which words, and can be undone; two that a
    person parted stay parted. After ``MOST_MERGED`` the night is not over: call it again.
    """
    head = _hold(session)
    rows = session.scalars(
        select(Narrative)
        .where(Narrative.merged_into_id.is_(None), Narrative.posts > 0)
        .order_by(Narrative.last_post_id.desc())
        .limit(CONSIDERED)
    ).all()
    narratives = {n.id: n for n in rows}
    parted = _parted(session)
    gone: set[int] = set()
    merged: list[tuple[int, int]] = []
    reasons: list[dict[str, Any]] = []
    for found in alike([state_from(n) for n in rows], space, at_least=ALIKE):
        if len(merged) == MOST_MERGED:
            break
        pair = {found.a, found.b}
        if pair & gone or frozenset(pair) in parted:
            continue
        larger, smaller = sorted(pair, key=lambda n: (-narratives[n].posts, n))
        gone |= pair  # what it has become is looked at again the next night
        merged.append((smaller, larger))
        words = _words(narratives, found)
        reasons.append({"likeness": round(found.likeness, 3), "words": words})
    for number in sorted(gone):
        _get(session, number)
    _hold_posts(session, sorted(p for source, _ in merged for p in _posts_of(session, source)))
    how: dict[str, Any] = {"kind": RECLUSTER, "actor": ACTOR, "now": now, "space": space}
    counts = [
        _merge(session, _get(session, source), _get(session, into), why=why, **how)
        for (source, into), why in zip(merged, reasons, strict=True)
    ]
    for (source_id, into_id), count in zip(merged, counts, strict=True):
        _say_merged(session, RECLUSTER, ACTOR, source_id, into_id, count)
    if len(merged) < MOST_MERGED:
        head.reclustered_at = now
    head.version += 1
    return merged


def _words(narratives: dict[int, Narrative], found: Likely) -> list[str]:
    a, b = (set(narratives[n].keywords) for n in (found.a, found.b))
    return sorted(a & b)


def _parted(session: Session) -> set[frozenset[int]]:
    """Return pairs that a person split, or whose merge a person took back."""
    rows = session.execute(
        select(NarrativeEvent.narrative_id, NarrativeEvent.kind, NarrativeEvent.details).where(
            NarrativeEvent.kind.in_(_UNDOABLE),
            (NarrativeEvent.kind == SPLIT) | NarrativeEvent.undone_at.is_not(None),
        )
    )
    return {
        frozenset((row.narrative_id, int(row.details["new" if row.kind == SPLIT else "source"])))
        for row in rows
    }


# --- within --------------------------------------------------------------------------------------


def rebuild(session: Session, narrative_ids: Sequence[int], space: Space) -> None:
    """Count narratives anew from their posts, centres and all; one without posts is emptied."""
    for table in (NarrativeAccount, NarrativeBucket):
        session.execute(delete(table).where(table.narrative_id.in_(narrative_ids)))
    for narrative_id in narrative_ids:
        _rebuild(session, _get(session, narrative_id), space)


def _rebuild(session: Session, narrative: Narrative, space: Space) -> None:
    accounts: Counter[int] = Counter()
    platforms: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    buckets: dict[int, list[int]] = {}
    narrative.posts = narrative.reach = 0
    narrative.risk_sum = 0.0
    first: datetime | None = None
    rows = session.execute(
        select(
            StoredPost.id,
            StoredPost.account,
            StoredPost.platform,
            StoredPost.label,
            StoredPost.risk,
            COUNTED.label("reach"),
            StoredPost.event_at,
        )
        .where(StoredPost.narrative_id == narrative.id)
        .order_by(StoredPost.event_at)
    ).all()
    for row in rows:
        narrative.posts += 1
        narrative.reach += row.reach
        narrative.risk_sum += row.risk
        platforms[row.platform] += 1
        labels[row.label] += 1
        account = account_number(row.platform, row.account)
        if account:
            accounts[account] += 1
        bucket = buckets.setdefault(bucket_of(row.event_at), [0, 0, 0])
        bucket[0] += 1
        bucket[1] += row.risk >= FLAGGED
        bucket[2] += row.reach
        first = first or row.event_at
        narrative.last_seen_at = row.event_at
        narrative.last_post_id = max(narrative.last_post_id, row.id)
    narrative.accounts = len(accounts)
    narrative.platforms, narrative.labels = dict(platforms), dict(labels)
    narrative.risk = aggregate_risk(narrative.risk_sum, narrative.posts)
    if first is None:
        _quieten(narrative)
        return
    narrative.first_seen_at = first
    narrative.due = MEASURE
    narrative.titled_posts = 0  # so that it is named anew
    if narrative.title_post_id not in {row.id for row in rows}:
        retitle(session, narrative)
    state = _centre(session, narrative, space)
    narrative.centre = state.centre.tobytes()
    # As if the words of all posts had been counted, which later posts are compared with.
    narrative.profile = pack_profile(scaled(state.profile, narrative.posts / state.posts))
    session.flush()
    write_accounts(session, {narrative.id: accounts})
    add_buckets(session, {narrative.id: buckets})


def _centre(session: Session, narrative: Narrative, space: Space) -> State:
    rows = session.execute(
        select(StoredPost.id, StoredPost.text, StoredPost.event_at, StoredPost.embedding)
        .where(StoredPost.narrative_id == narrative.id)
        .order_by(StoredPost.event_at.desc())
        .limit(CENTRE_POSTS)
    ).all()
    arrivals = [
        Arrival(
            id=row.id,
            normal=normalise(row.text),
            at=row.event_at,
            embedding=unpack_embedding(row.embedding, space),
        )
        for row in reversed(rows)
    ]
    return state_of(narrative.id, arrivals, space)


def _begin(session: Session, head: NarrativeHead, post_ids: Sequence[int]) -> Narrative:
    text = session.scalar(select(StoredPost.text).where(StoredPost.id == post_ids[0])) or ""
    values = {
        "id": head.next_id,
        "title": lead_of(text),
        "title_post_id": post_ids[0],
        "last_post_id": post_ids[-1],
        "first_seen_at": _EPOCH,
        "last_seen_at": _EPOCH,
        **dict.fromkeys(("posts", "accounts", "reach", "risk_sum", "risk"), 0),
        "keywords": [],
        "platforms": {},
        "labels": {},
        "reasons": [],
    }
    session.execute(insert(Narrative).values(values))
    head.next_id += 1
    return _get(session, head.next_id - 1)


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _empty(narrative: Narrative, into_id: int) -> None:
    narrative.merged_into_id = into_id
    _quieten(narrative)


def _quieten(narrative: Narrative) -> None:
    narrative.stage, narrative.stage_since, narrative.reasons = "quiet", None, []
    narrative.spread, narrative.heat, narrative.due, narrative.look_at = None, 0.0, 0, None


def _move(session: Session, post_ids: Sequence[int], narrative_id: int) -> None:
    _hold_posts(session, post_ids)
    for start in range(0, len(post_ids), _PART):
        session.execute(
            update(StoredPost)
            .where(StoredPost.id.in_(post_ids[start : start + _PART]))
            .values(narrative_id=narrative_id)
            .execution_options(synchronize_session=False)
        )


def _hold_posts(session: Session, post_ids: Sequence[int]) -> None:
    """Hold posts in the order in which all hold them who hold several."""
    for start in range(0, len(post_ids), _PART):
        part = post_ids[start : start + _PART]
        held = select(StoredPost.id).where(StoredPost.id.in_(part)).order_by(StoredPost.id)
        session.execute(held.with_for_update(key_share=True)).all()


def _note(
    session: Session, narrative_id: int, kind: str, actor: str, now: datetime, **details: Any
) -> None:
    session.add(
        NarrativeEvent(narrative_id=narrative_id, at=now, kind=kind, actor=actor, details=details)
    )


def _posts_of(session: Session, narrative_id: int) -> list[int]:
    return list(
        session.scalars(
            select(StoredPost.id)
            .where(StoredPost.narrative_id == narrative_id)
            .order_by(StoredPost.id)
        )
    )


def _hold(session: Session) -> NarrativeHead:
    return session.scalars(select(NarrativeHead).with_for_update()).one()


def _get(session: Session, narrative_id: int) -> Narrative:
    """Return a narrative that nobody else changes until the transaction ends."""
    found = session.get(
        Narrative, narrative_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if found is None:
        raise NotFound(f"there is no narrative {narrative_id}")
    return found


def _open(session: Session, narrative_id: int) -> Narrative:
    narrative = _get(session, narrative_id)
    if narrative.merged_into_id is not None:
        raise BadNarratives(
            f"narrative {narrative_id} was merged into {narrative.merged_into_id}; use that one"
        )
    return narrative
