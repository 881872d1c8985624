"""Accounts, passwords, sessions and rate limits below the pages, on both databases."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, select

from service.accounts import access, limits, passwords, people, sessions
from service.accounts.limits import Meter
from service.accounts.passwords import Password
from service.audit import trail as audit
from service.database import Database
from service.errors import (
    BadName,
    BadPassword,
    DeskError,
    LastAdmin,
    NameTaken,
    NotSignedIn,
    TooOften,
    WrongPassword,
)
from service.tables import Account, AuditRow, SignIn, Tally

ADDRESS = "192.0.2.7"
GOOD = "kuda putih lari pagi"


@pytest.fixture(scope="module")
def good() -> Password:
    return passwords.chosen(GOOD)


def make(database: Database, name: str, role: str, password: Password) -> Account:
    with database.write() as session:
        account, _ = access.create_account(session, name, role, actor="test", password=password)
    return account


@pytest.fixture
def ani(database: Database, good: Password) -> Account:
    return make(database, "ani", "moderator", good)


def actions(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        return [(row.actor, row.action) for row in audit.rows(session)]


def sign_in(database: Database, password: str = GOOD, name: str = "ani", **more: str) -> str:
    return sessions.sign_in(database, name, password, **{"address": ADDRESS, **more})[0]


def failing(step: Callable[[], object]) -> type[Exception] | None:
    try:
        step()
    except DeskError as error:
        return type(error)
    return None


# --- signing in --------------------------------------------------------------------------------


def test_the_right_password_starts_a_session_with_the_rights_of_the_role(
    database: Database, ani: Account
) -> None:
    token = sign_in(database)
    with database.read() as session:
        caller = sessions.caller_of_token(session, token)
    assert (caller.account.name, caller.rights) == ("ani", access.ROLES["moderator"])


def test_the_database_holds_no_token_and_no_password(database: Database, ani: Account) -> None:
    token = sign_in(database)
    with database.read() as session:
        stored = [s.hash for s in session.scalars(select(SignIn))]
        stored += [a.password_hash for a in session.scalars(select(Account))]
        stored += [str(row.details) + row.subject for row in audit.rows(session)]
    assert not any(token in value or GOOD in value for value in stored)


def test_every_sign_in_has_a_token_of_its_own_and_ends_the_browsers_old_session(
    database: Database, ani: Account
) -> None:
    first = sign_in(database)
    second = sign_in(database, old_token=first)
    assert first != second
    with database.read() as session:
        assert sessions.caller_of_token(session, second).account.name == "ani"
        with pytest.raises(NotSignedIn):
            sessions.caller_of_token(session, first)


def test_a_wrong_name_and_a_wrong_password_cannot_be_told_apart(
    database: Database, ani: Account
) -> None:
    said = set()
    for name, password in (("ani", "salah sama sekali"), ("tidak-ada", GOOD)):
        with pytest.raises(NotSignedIn) as caught:
            sign_in(database, password, name)
        said.add(str(caught.value))
    assert len(said) == 1


def test_a_name_that_does_not_exist_costs_a_hash_too() -> None:
    before = passwords._nobody.cache_info()
    assert passwords.matches(None, GOOD) is False
    assert passwords._nobody.cache_info() != before


def test_a_failed_sign_in_is_on_record_without_what_was_typed_as_a_name(
    database: Database, ani: Account
) -> None:
    for name in ("ani", "my-secret-password"):
        with pytest.raises(NotSignedIn):
            sign_in(database, "salah sama sekali", name)
    with database.read() as session:
        failed = [row for row in audit.rows(session) if row.action == "sign-in.failed"]
    assert [row.subject for row in failed] == ["account:ani", "account"]
    assert {row.actor for row in failed} == {"unknown"}
    assert failed[0].details == {"address": ADDRESS}


def test_after_five_wrong_passwords_the_right_one_has_to_wait_too(
    database: Database, ani: Account
) -> None:
    for _ in range(sessions.TRIES):
        with pytest.raises(NotSignedIn):
            sign_in(database, "salah sama sekali")
    with pytest.raises(TooOften) as caught:
        sign_in(database)
    assert 0 < caught.value.retry_after <= 2 * sessions.SPAN_S  # type: ignore[operator]
    assert sign_in(database, address="192.0.2.8")  # the person elsewhere is not kept out


def test_many_wrong_passwords_at_one_moment_are_as_many_tries(
    database: Database, ani: Account
) -> None:
    def one(_: int) -> type[Exception] | None:
        return failing(lambda: sign_in(database, "salah sama sekali"))

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, range(16)))
    assert outcomes.count(NotSignedIn) <= sessions.TRIES
    assert set(outcomes) <= {NotSignedIn, TooOften}


def test_one_address_cannot_try_every_account(database: Database, ani: Account) -> None:
    with database.write() as session:
        used = sessions.TRIES_OF_ADDRESS - 1
        limits.add(session, f"sign-in-from:{ADDRESS}", span_s=sessions.SPAN_S, amount=used)
    with pytest.raises(NotSignedIn):
        sign_in(database, GOOD, "hantu")
    with pytest.raises(TooOften):
        sign_in(database)
    assert sign_in(database, address="192.0.2.8")


def test_the_right_password_forgives_the_slips_before_it(database: Database, ani: Account) -> None:
    for _ in range(3):
        for _ in range(sessions.TRIES - 1):
            with pytest.raises(NotSignedIn):
                sign_in(database, "salah sama sekali")
        assert sign_in(database)


def test_a_closed_account_cannot_sign_in(database: Database, ani: Account) -> None:
    with database.write() as session:
        people.close(session, people.get_account(session, name="ani"), actor="test")
    with pytest.raises(NotSignedIn):
        sign_in(database)


def test_no_transaction_is_open_while_a_password_is_hashed(
    database: Database, ani: Account
) -> None:
    returned: queue.Queue[None] = queue.Queue()
    event.listen(database.engine, "checkin", lambda *_: returned.put(None))
    with ExitStack() as busy, ThreadPoolExecutor(1) as pool:
        for _ in range(passwords.AT_ONCE):  # all hashers are taken: the sign-in waits for one
            busy.enter_context(passwords._turn())
        waiting = pool.submit(sign_in, database)
        for _ in range(3):  # it has looked, counted its try, and read the account
            returned.get(timeout=60)
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert not waiting.done()
        with database.write() as session:  # so nobody waits for it
            limits.add(session, "other", span_s=60)
        busy.close()
        assert waiting.result(timeout=60)


def test_a_session_ends_after_a_day_and_after_a_working_day_without_use(
    database: Database, ani: Account
) -> None:
    now = datetime.now(UTC)
    for change in ({"expires_at": now}, {"last_seen_at": now - sessions.IDLE}):
        token = sign_in(database)
        with database.write() as session:
            row = session.scalars(select(SignIn)).one()
            for name, value in change.items():
                setattr(row, name, value)
        with database.read() as session, pytest.raises(NotSignedIn):
            sessions.caller_of_token(session, token)
        with database.write() as session:
            session.delete(session.scalars(select(SignIn)).one())


# --- passwords ---------------------------------------------------------------------------------


def test_a_changed_password_ends_every_session_and_starts_a_new_one(
    database: Database, ani: Account
) -> None:
    here, elsewhere = sign_in(database), sign_in(database)
    fresh = sessions.change_password(database, ani, GOOD, "perahu layar biru")
    with database.read() as session:
        assert sessions.caller_of_token(session, fresh).account.must_change is False
        for old in (here, elsewhere):
            with pytest.raises(NotSignedIn):
                sessions.caller_of_token(session, old)
    assert sign_in(database, "perahu layar biru")
    with pytest.raises(NotSignedIn):
        sign_in(database)
    assert ("ani", "account.password") in actions(database)


@pytest.mark.parametrize(
    "new", ["pendek", "aaaaaaaaaaaaaa", "rahasia-ani-2026", "x" * 201, GOOD], ids=len
)
def test_a_poor_new_password_is_refused_and_costs_no_try(
    database: Database, ani: Account, new: str
) -> None:
    for _ in range(sessions.TRIES + 1):
        with pytest.raises(BadPassword):
            sessions.change_password(database, ani, GOOD, new)


def test_the_old_password_cannot_be_guessed_from_a_stolen_session(
    database: Database, ani: Account
) -> None:
    for _ in range(sessions.TRIES):
        with pytest.raises(WrongPassword):
            sessions.change_password(database, ani, "salah sama sekali", "perahu layar biru")
    with pytest.raises(TooOften):
        sessions.change_password(database, ani, GOOD, "perahu layar biru")
    assert actions(database).count(("ani", "account.password_failed")) == sessions.TRIES


def test_a_flood_of_hashes_is_turned_away_instead_of_eating_the_memory() -> None:
    with ThreadPoolExecutor(4 * passwords.WAITING) as pool:
        outcomes = list(
            pool.map(
                lambda _: failing(lambda: passwords.matches(None, GOOD)),
                range(4 * passwords.WAITING),
            )
        )
    assert outcomes.count(None) >= passwords.AT_ONCE
    assert TooOften in outcomes
    assert passwords.matches(None, GOOD) is False  # and then it goes on


# --- accounts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["..", ".ani", "a", "a b", "ani/1", "unknown", "x" * 81, "ani\n"])
def test_a_name_that_could_mislead_is_refused(
    database: Database, good: Password, name: str
) -> None:
    with pytest.raises(BadName):
        make(database, name, "reader", good)


def test_two_accounts_cannot_share_a_name(database: Database, ani: Account, good: Password) -> None:
    with pytest.raises(NameTaken):
        make(database, "ani", "reader", good)


def test_a_role_change_and_a_closed_account_hold_for_the_next_request(
    database: Database, ani: Account
) -> None:
    token = sign_in(database)
    with database.write() as session:
        key = access.create_key(session, ani, "uji", ["read", "moderate"], actor="test")
        people.set_role(session, people.get_account(session, name="ani"), "reader", actor="boss")
    with database.read() as session:
        assert sessions.caller_of_token(session, token).rights == access.ROLES["reader"]
        assert access.caller_of_key(session, key).rights == {access.Right.READ}
    with database.write() as session:
        people.close(session, people.get_account(session, name="ani"), actor="boss")
    with database.read() as session:
        with pytest.raises(NotSignedIn):
            sessions.caller_of_token(session, token)
        with pytest.raises(NotSignedIn):
            access.caller_of_key(session, key)
    with database.write() as session:
        people.reopen(session, people.get_account(session, name="ani"), actor="boss")
    with database.read() as session:
        assert access.caller_of_key(session, key).account.name == "ani"
        with pytest.raises(NotSignedIn):
            sessions.caller_of_token(session, token)
    wanted = ["account.role", "account.close", "account.open"]
    assert [action for actor, action in actions(database) if actor == "boss"] == wanted


def test_a_reset_ends_the_sessions_and_asks_for_a_new_password(
    database: Database, ani: Account
) -> None:
    token = sign_in(database)
    made = passwords.one_time()
    with database.write() as session:
        account = people.get_account(session, name="ani")
        people.reset_password(session, account, made, actor="boss")
    with database.read() as session, pytest.raises(NotSignedIn):
        sessions.caller_of_token(session, token)
    _, account = sessions.sign_in(database, "ani", made.text, address=ADDRESS)
    assert account.must_change


@pytest.mark.parametrize("how", ["close", "demote"])
def test_the_last_active_admin_stays(database: Database, good: Password, how: str) -> None:
    make(database, "satu", "admin", good)
    make(database, "dua", "admin", good)

    def leave(name: str) -> None:
        with database.write() as session:
            account = people.get_account(session, name=name)
            if how == "close":
                people.close(session, account, actor="test")
            else:
                people.set_role(session, account, "analyst", actor="test")

    leave("satu")
    with pytest.raises(LastAdmin):
        leave("dua")


def test_two_admins_who_close_each_other_at_one_moment_leave_one(
    database: Database, good: Password
) -> None:
    make(database, "satu", "admin", good)
    make(database, "dua", "admin", good)
    together = threading.Barrier(2)

    def leave(name: str) -> type[Exception] | None:
        def step() -> None:
            with database.write() as session:
                people.close(session, people.get_account(session, name=name), actor="test")

        together.wait()
        return failing(step)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(leave, ["satu", "dua"]))
    assert None in outcomes
    with database.read() as session:
        left = session.scalars(select(Account).where(Account.active)).all()
    assert len(left) == 1


def test_last_seen_is_the_latest_of_page_key_and_sign_in(database: Database, ani: Account) -> None:
    def last_seen() -> datetime | None:
        with database.read() as session:
            (person,) = people.list_people(session)
        return person.last_seen

    assert last_seen() is None
    token = sign_in(database)
    with database.write() as session:
        sessions.sign_out(session, token)
    signed_in = last_seen()
    assert signed_in is not None  # known from the trail when the session is gone
    with database.write() as session:
        key = access.create_key(session, ani, "uji", ["read"], actor="test")
        access.note_use(session, key)
    later = last_seen()
    assert later is not None
    assert later >= signed_in


def test_accounts_are_listed_by_name_in_pages(database: Database, good: Password) -> None:
    for name in ("citra", "ani", "budi"):
        make(database, name, "reader", good)
    with database.read() as session:
        first = people.list_people(session, limit=2)
        rest = people.list_people(session, after=first[-1].account.name, limit=2)
    assert [p.account.name for p in (*first, *rest)] == ["ani", "budi", "citra"]


# --- rate limits -------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_020.0

    def __call__(self) -> float:
        return self.now


def passed(meter: Meter, caller: str, times: int) -> int:
    return sum(failing(lambda: meter.take(caller)) is None for _ in range(times))


@pytest.mark.parametrize("limit", [1, 10, 600])
def test_one_worker_lets_exactly_the_limit_pass(database: Database, limit: int) -> None:
    meter = Meter(database, limit, clock=Clock())
    assert passed(meter, "key a", limit + 20) == limit
    assert passed(meter, "key b", 1) == 1


def test_two_workers_on_one_database_share_one_allowance(database: Database) -> None:
    clock = Clock()
    first, second = (Meter(database, 100, clock=clock) for _ in range(2))
    through = sum(passed(meter, "key a", 1) for meter in (first, second) * 200)
    assert 100 - 100 // limits.BLOCKS <= through <= 100


def test_workers_that_count_at_one_moment_never_let_too_many_pass(database: Database) -> None:
    clock = Clock()
    meters = [Meter(database, 60, clock=clock) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        through = sum(pool.map(lambda n: passed(meters[n % 4], "key a", 25), range(8)))
    assert 60 - 4 * 3 <= through <= 60


def test_the_next_minute_has_an_allowance_of_its_own_and_old_tallies_go(
    database: Database,
) -> None:
    clock = Clock()
    meter = Meter(database, 5, clock=clock)
    assert passed(meter, "key a", 9) == 5
    clock.now += 60
    assert passed(meter, "key a", 9) == 5
    with database.read() as session:
        assert len(session.scalars(select(Tally)).all()) == 1


def test_the_refusal_says_when_the_minute_is_over(database: Database) -> None:
    clock = Clock()
    clock.now = 1_000_020.0 + 42
    meter = Meter(database, 1, clock=clock)
    meter.take("key a")
    with pytest.raises(TooOften) as caught:
        meter.take("key a")
    assert caught.value.retry_after == 60 - (1_000_062 % 60)


def test_counting_is_cheap_few_writes_and_none_for_the_refused(database: Database) -> None:
    writes = 0

    def counted(*_: object) -> None:
        nonlocal writes
        writes += 1

    event.listen(database.engine, "commit", counted)
    meter = Meter(database, 600, clock=Clock())
    passed(meter, "key a", 60)
    assert writes <= 3
    passed(meter, "key a", 600)
    assert writes <= 100
    before = writes
    assert passed(meter, "key a", 500) == 0
    assert writes == before


def test_without_a_limit_nothing_is_counted(database: Database) -> None:
    assert passed(Meter(database, 0), "key a", 1000) == 1000
    with database.read() as session:
        assert session.scalars(select(Tally)).first() is None


def test_tallies_that_no_limit_looks_at_are_dropped(database: Database) -> None:
    now = datetime.now(UTC)
    old = (now - timedelta(days=2)).timestamp()
    with database.write() as session:
        limits.add(session, "old", span_s=60, now=old)
        limits.add(session, "new", span_s=60, now=now.timestamp())
        assert limits.drop_old(session, now.timestamp()) == 1
        assert limits.tally(session, "new", span_s=60, now=now.timestamp()) == 1


def test_every_change_of_a_key_is_on_record_once(database: Database, ani: Account) -> None:
    with database.write() as session:
        key = access.create_key(session, ani, "uji", ["read"], actor="boss", days=30)
        prefix = key.split("_")[1]
        access.revoke_key(session, prefix, actor="boss")
        access.revoke_key(session, prefix, actor="boss")
    with database.read() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.subject == f"key:{prefix}")).all()
        assert [row.action for row in rows] == ["key.create", "key.revoke"]
        assert key not in str([row.details for row in rows])
        (stored,) = access.list_keys(session)
        assert access.key_state(stored, datetime.now(UTC)) == "revoked"
