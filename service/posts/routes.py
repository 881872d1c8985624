"""Score, send and look up posts."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.accounts.access import Caller, Right
from service.errors import NotFound, UsedOtherwise
from service.posts.explain import explain
from service.posts.intake import accept
from service.posts.schemas import (
    AcceptedOut,
    AcceptedsOut,
    ExplanationOut,
    PostOut,
    PostsIn,
    ScoreIn,
    ScoreOut,
    ScoresOut,
    shown,
)
from service.tables import IdempotentAnswer, StoredPost
from service.web import TheCaller, TheDesk

router = APIRouter(prefix="/v1")


@router.post("/score", tags=["score"], summary="Score texts, store nothing")
async def score(body: ScoreIn, caller: TheCaller, desk: TheDesk) -> ScoresOut:
    """Return a score for each text, in the order sent."""
    caller.need(Right.SUBMIT)
    results = await asyncio.wrap_future(desk.batcher.submit(body.texts))
    return ScoresOut(model=desk.batcher.version, results=[ScoreOut.of(s) for s, _ in results])


@router.post("/posts", status_code=201, tags=["posts"], summary="Send posts")
def send_posts(
    body: PostsIn,
    caller: TheCaller,
    desk: TheDesk,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> AcceptedsOut:
    """Store, score and queue posts; a post that is known is counted, not stored again.

    With an `Idempotency-Key`, the same request again gets the same answer.
    """
    caller.need(Right.SUBMIT)
    request = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    if idempotency_key is not None:
        with desk.database.read() as session:
            known = _answered(session, caller, idempotency_key, request)
        if known is not None:
            return AcceptedsOut.model_validate(known)
    accepted = accept(
        desk.database,
        [post.new_post() for post in body.posts],
        desk.batcher.score_and_embed,
        desk.rules,
        model=desk.batcher.version,
    )
    answer = AcceptedsOut(model=desk.batcher.version, posts=[AcceptedOut.of(a) for a in accepted])
    if idempotency_key is not None:
        # The same request at the same moment may have left its answer first.
        with suppress(IntegrityError), desk.database.write() as session:
            if _answered(session, caller, idempotency_key, request) is None:
                session.add(
                    IdempotentAnswer(
                        caller=caller.via,
                        key=idempotency_key,
                        request=request,
                        answer=answer.model_dump(),
                        at=datetime.now(UTC),
                    )
                )
    return answer


def _answered(session: Session, caller: Caller, key: str, request: str) -> Any | None:
    row = session.scalar(
        select(IdempotentAnswer).where(
            IdempotentAnswer.caller == caller.via, IdempotentAnswer.key == key
        )
    )
    if row is None:
        return None
    if row.request != request:
        raise UsedOtherwise("this Idempotency-Key came before with another request")
    return row.answer


@router.get("/posts/{post_id}", tags=["posts"], summary="One post")
def get_post(post_id: int, caller: TheCaller, desk: TheDesk) -> PostOut:
    """Return a stored post with its score."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        return PostOut.of(_post(session, post_id), caller)


@router.get(
    "/posts/{post_id}/explanation", tags=["posts"], summary="The words that raised a post's score"
)
def explain_post(post_id: int, caller: TheCaller, desk: TheDesk) -> ExplanationOut:
    """Return the words or phrases without which the risk would be lower; computed when asked."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        text = shown(_post(session, post_id).text, caller)
    return ExplanationOut.of(text, explain(text, desk.batcher))


def _post(session: Session, post_id: int) -> StoredPost:
    post = session.get(StoredPost, post_id) if 0 < post_id < 2**63 else None
    if post is None:
        raise NotFound(f"there is no post {post_id}")
    return post
