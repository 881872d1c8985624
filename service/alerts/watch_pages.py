"""The pages of watch-lists: the list, and the form that tries one on last week before it is saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from service.accounts.access import Caller, Right
from service.alerts import lists
from service.alerts.budget import MOST_BUDGET
from service.alerts.channels import service as channels
from service.alerts.errors import BadWatchList, WatchListTaken
from service.alerts.lists import FLAGS, Given
from service.alerts.places import PROVINCES
from service.alerts.routes import clock_of
from service.alerts.watchlists import LANGUAGES, Criteria
from service.pages import alert_words, words
from service.pages.render import Viewer, go, render
from service.stats.charts import bar
from service.tables import WatchList
from service.web import Desk, TheDesk, storable

router = APIRouter(include_in_schema=False)
SHOWN: Final = 50
"""Alerts of a shadow run that the page lists; it counts all of them."""
Number = Annotated[int, Path(ge=1, lt=2**63)]
Lines = Annotated[str, Form(max_length=12_000)]
Some = Annotated[list[str] | None, Form(max_length=50)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What stands in the form's fields: lines of words, and numbers as they were typed."""

    name: str = ""
    terms: str = ""
    regions: str = ""
    languages: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    platforms: list[str] = field(default_factory=list)
    risk: str = "0"
    budget: str = str(lists.BUDGET)
    channels: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, held: WatchList) -> Typed:
        """Return the form of a watch-list as it is."""
        return cls(
            name=held.name,
            terms="\n".join(held.terms),
            regions="\n".join(held.regions),
            languages=list(held.languages),
            labels=list(held.labels),
            platforms=list(held.platforms),
            risk=f"{100 * held.minimum_risk:.0f}",
            budget=str(held.budget),
            channels=list(held.channels),
        )

    def given(self, name: str | None = None) -> Given:
        """Return the watch-list that is asked for; ``name`` stands in for the one that was typed.

        Raises:
            BadWatchList: it will not do.
        """
        if not (self.risk.isdecimal() and len(self.risk) <= 3):
            raise BadWatchList("the risk is 0 to 100 percent", "risk")
        if not (self.budget.isdecimal() and len(self.budget) <= 4):
            raise BadWatchList("a budget is a number", "budget")
        return lists.cleaned(
            Given(
                name=self.name if name is None else name,
                criteria=Criteria(
                    terms=tuple(self.terms.splitlines()),
                    regions=tuple(self.regions.splitlines()),
                    languages=tuple(self.languages),
                    labels=tuple(self.labels),
                    platforms=tuple(self.platforms),
                    minimum_risk=int(self.risk) / 100,
                ),
                budget=int(self.budget),
                channels=tuple(self.channels),
            )
        )


def typed(
    nama: Annotated[str, Form(max_length=200)] = "",
    kata: Lines = "",
    wilayah: Lines = "",
    bahasa: Some = None,
    label: Some = None,
    platform: Some = None,
    risiko: Annotated[str, Form(max_length=20)] = "0",
    jatah: Annotated[str, Form(max_length=20)] = str(lists.BUDGET),
    saluran: Annotated[list[int] | None, Form(max_length=50)] = None,
) -> Typed:
    """Return the form as it was filled in."""
    return Typed(
        name=storable(nama),
        terms=storable(kata),
        regions=storable(wilayah),
        languages=[storable(value) for value in bahasa or []],
        labels=[storable(value) for value in label or []],
        platforms=[storable(value) for value in platform or []],
        risk=risiko.strip() or "0",
        budget=jatah.strip(),
        channels=[number for number in saluran or [] if 0 < number < 2**63],
    )


Filled = Annotated[Typed, Depends(typed)]
Action = Annotated[str, Form(max_length=10)]


@router.get("/pantauan")
def lists_page(request: Request, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """List the watch-lists with their last week."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        found = lists.overviews(session, **clock_of(desk))
        known = {channel.id: channel for channel in channels.list_channels(session)}
    return render(
        request,
        "pantauan.html",
        caller=caller,
        said=alert_words.DONE.get(request.query_params.get("sudah", "")),
        found=found,
        channels=known,
    )


@router.get("/pantauan/baru")
def new_page(request: Request, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Show an empty form, and what a watch-list without criteria would have brought."""
    return _form(request, caller, desk, Typed())


@router.get("/pantauan/{number}")
def edit_page(request: Request, number: Number, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Show the form of a watch-list, and what its settings would have brought."""
    with desk.database.read() as session:
        held = lists.get(session, number)
    return _form(request, caller, desk, Typed.of(held), held=held)


@router.post("/pantauan")
def create(
    request: Request, caller: Viewer, desk: TheDesk, form: Filled, tindakan: Action = ""
) -> Response:
    """Make a watch-list, or only try it on last week."""
    if tindakan == "coba":
        return _form(request, caller, desk, form)
    caller.need(Right.ADMINISTER)
    try:
        given = form.given()
        with desk.database.write() as session:
            lists.create(session, given, actor=caller.account.name, **clock_of(desk))
    except (BadWatchList, WatchListTaken) as error:
        return _form(request, caller, desk, form, error=error)
    return go("/pantauan?sudah=buat")


@router.post("/pantauan/{number}")
def change(
    request: Request,
    number: Number,
    caller: Viewer,
    desk: TheDesk,
    form: Filled,
    tindakan: Action = "",
) -> Response:
    """Change a watch-list, or only try the change on last week."""
    with desk.database.read() as session:
        held = lists.get(session, number)
    if tindakan == "coba":
        return _form(request, caller, desk, form, held=held)
    caller.need(Right.ADMINISTER)
    try:
        given = form.given()
        with desk.database.write() as session:
            lists.change(session, number, given, actor=caller.account.name, **clock_of(desk))
    except (BadWatchList, WatchListTaken) as error:
        return _form(request, caller, desk, form, held=held, error=error)
    return go("/pantauan?sudah=ubah")


@router.post("/pantauan/{number}/tutup")
def close(number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Let a watch-list raise nothing more."""
    return _set_active(desk, caller, number, False)


@router.post("/pantauan/{number}/buka")
def open_again(number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Let a closed watch-list raise alerts again."""
    return _set_active(desk, caller, number, True)


def _set_active(desk: Desk, caller: Caller, number: int, active: bool) -> Response:
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        lists.set_active(session, number, active, actor=caller.account.name, **clock_of(desk))
    return go(f"/pantauan?sudah={'buka' if active else 'tutup'}")


def _form(
    request: Request,
    caller: Caller,
    desk: Desk,
    form: Typed,
    *,
    held: WatchList | None = None,
    error: BadWatchList | WatchListTaken | None = None,
) -> HTMLResponse:
    """Show the form with what was typed, and the last week with it; nothing is saved."""
    caller.need(Right.READ)
    run = None
    with desk.database.read() as session:
        known = channels.list_channels(session)
        if error is None:
            try:
                given = form.given(name="-")  # trying needs none yet
                run = lists.shadow_run(session, given.criteria, given.budget, **clock_of(desk))
            except BadWatchList as found:
                error = found
    return render(
        request,
        "pantauan_ubah.html",
        caller=caller,
        status=error.status if error else 200,
        failed=_said(error) if error else None,
        form=form,
        held=held,
        run=run,
        shown=SHOWN,
        channels=known,
        languages=LANGUAGES,
        flags=FLAGS,
        provinces=PROVINCES,
        most=MOST_BUDGET,
        bar=bar,
    )


def _said(error: BadWatchList | WatchListTaken) -> str:
    if isinstance(error, BadWatchList):
        return alert_words.WATCH_LIST_FAULTS.get(error.reason, words.said(error))
    return words.said(error)
