"""What came out of a feed, as a stream: its rows with their scores, and those refused.

The rows are read from the uploaded file once more and their scores from the database, a thousand
at a time, so that neither is held in memory and no transaction stays open.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import select

from models.scorer import Score
from pipeline.errors import PipelineError
from pipeline.feeds import Feed, open_feed
from pipeline.pii import mask
from pipeline.post import Post
from pipeline.request import ScoreRequest, find_columns
from pipeline.writers import Encoder, make_encoder
from pipeline.writers.encoders import CsvRow
from service.database import Database
from service.feeds.errors import FeedGone, refused
from service.tables import FeedPost, FeedReject, StoredFeed, StoredPost

ROWS: Final = 1000
PUBLIC: Final = ("created_at", "platform", "text")
"""What those see of a row who may not see private data; any other column may name a person."""
REJECT_COLUMNS: Final = ("line", "field", "reason")
Format = Literal["csv", "jsonl"]


def scored_rows(
    database: Database, feed: StoredFeed, path: Path, format_: Format, *, private: bool
) -> Iterator[bytes]:
    """Return the scored rows of a feed so far, in their order, as ``lilin score`` writes them.

    ``private``: whole, else without the columns that may name a person and with masked texts.

    Raises:
        FeedGone: the uploaded file is not kept any more.
        FeedRefused: it cannot be written in this format.
    """
    if not path.is_file():
        raise FeedGone("the uploaded file is not kept any more; its posts are still at the desk")
    output = Path(f"result.{format_}")
    request = ScoreRequest(
        input=path, output=output, text_column=feed.text_column, format=feed.format
    )
    try:
        source = open_feed(path, text_column=feed.text_column, format=feed.format)
        columns = find_columns(request, source, output) if private else PUBLIC
    except PipelineError as error:
        raise refused(error, path=path, name=feed.name) from error
    encoder = make_encoder(output, source, columns, safe=True)
    return _stream(database, feed, source, encoder, private=private)


def _stream(
    database: Database, feed: StoredFeed, source: Feed, encoder: Encoder, *, private: bool
) -> Iterator[bytes]:
    with source:
        yield encoder.header()
        rows = islice(iter(source), feed.rows)
        for before in range(0, feed.rows, ROWS):
            scores = _scores(database, feed.id, before)
            scored = [
                (row if private else _public(row), scores[number])
                for number, row in enumerate(islice(rows, ROWS), start=before + 1)
                if isinstance(row, Post) and number in scores
            ]
            if scored:
                yield encoder.encode(scored)


def _scores(database: Database, feed_id: int, before: int) -> dict[int, Score]:
    wanted = (
        select(
            FeedPost.row,
            StoredPost.risk,
            StoredPost.label,
            StoredPost.hoax,
            StoredPost.disinformation,
            StoredPost.malinformation,
            StoredPost.technique,
            StoredPost.tone,
        )
        .join(StoredPost, StoredPost.id == FeedPost.post_id)
        .where(FeedPost.feed_id == feed_id, FeedPost.row > before, FeedPost.row <= before + ROWS)
    )
    with database.read() as session:
        return {
            found.row: Score(
                risk=found.risk,
                label=found.label,
                false=found.hoax + found.disinformation,
                hoax=found.hoax,
                disinformation=found.disinformation,
                malinformation=found.malinformation,
                technique=found.technique,
                tone=found.tone,
            )
            for found in session.execute(wanted)
        }


def _public(post: Post) -> Post:
    values = (mask(post.created_at or ""), mask(post.platform or ""), mask(post.text))
    return Post(line=post.line, text=post.text, columns=PUBLIC, values=values)


def rejected_rows(database: Database, feed_id: int) -> Iterator[bytes]:
    """Yield the rejected rows of a feed as CSV: where each begins, the field at fault, why."""
    line = CsvRow(",", safe=True).line
    yield line(REJECT_COLUMNS).encode()
    after = 0
    while True:
        with database.read() as session:
            page = session.scalars(
                select(FeedReject)
                .where(FeedReject.feed_id == feed_id, FeedReject.row > after)
                .order_by(FeedReject.row)
                .limit(ROWS)
            ).all()
        yield "".join(line((str(r.line), r.field, r.reason)) for r in page).encode()
        if len(page) < ROWS:
            return
        after = page[-1].row
