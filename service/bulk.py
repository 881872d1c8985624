"""Many rows at once: statements in the driver's own way, and columns against many values.

SQLAlchemy binds value by value with great care, which for thousands of rows costs more than the
database does. Here a statement is compiled once and its rows are handed over as they are, but for
the types that need it (moments, JSON).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Dialect,
    LargeBinary,
    any_,
    func,
    literal,
    select,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import UpdateBase

Bind = Callable[[Any], Any]
_STATEMENTS: Final = 64


def run_many(session: Session, statement: UpdateBase, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run an INSERT, UPDATE or DELETE once for each row of values by name of bound parameter.

    The statement is one that lives as long as the program (it is compiled once); all its values
    come from the rows, and every row has the very same names.
    """
    if not rows:
        return
    connection = session.connection()
    names = tuple(rows[0])
    text, order, binds = _compiled(statement, connection.dialect, names)
    if order is None:
        values: Any = [
            {name: row[name] if bind is None else bind(row[name]) for name, bind in binds}
            for row in rows
        ]
    else:
        values = [
            tuple([row[name] if bind is None else bind(row[name]) for name, bind in binds])
            for row in rows
        ]
    connection.exec_driver_sql(text, values)


@lru_cache(maxsize=_STATEMENTS)
def _compiled(
    statement: UpdateBase, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, list[str] | None, list[tuple[str, Bind | None]]]:
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
    order = list(compiled.positiontup) if compiled.positional else None
    wanted = order if order is not None else list(compiled.binds)
    assert set(wanted) == set(names), "values that are no row's: defaults of the table, literals"
    binds = []
    for name in wanted:
        kind = compiled.binds[name].type
        as_it_is = isinstance(kind, LargeBinary)  # both drivers take bytes
        bind = None if as_it_is else kind.dialect_impl(dialect).bind_processor(dialect)
        binds.append((name, bind))
    return str(compiled), order, binds


def among(session: Session, column: Any, values: Sequence[int]) -> ColumnElement[bool]:
    """Return the condition that a column of whole numbers is one of these, however many."""
    if session.get_bind().dialect.name == "sqlite":
        listed = func.json_each(orjson.dumps(values).decode()).table_valued("value")
        return cast("ColumnElement[bool]", column.in_(select(listed.c.value)))
    return cast("ColumnElement[bool]", column == any_(literal(list(values), ARRAY(BigInteger))))
