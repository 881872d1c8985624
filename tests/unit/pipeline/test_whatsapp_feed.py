from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import FeedError
from pipeline.feeds import open_feed
from pipeline.post import Reject


def rows_of(content: bytes | Path, **options: Any) -> list[Any]:
    path = content if isinstance(content, Path) else None
    stdin = io.BytesIO(content) if isinstance(content, bytes) else None
    with open_feed(path, stdin=stdin, **options) as feed:
        return list(feed)


def rejects_of(content: bytes | Path, **options: Any) -> list[Reject]:
    return [row for row in rows_of(content, **options) if isinstance(row, Reject)]


ANDROID = b"""31/12/23 21.15 - Pesan dan panggilan dienkripsi secara end-to-end.
31/12/23 21.16 - Budi: halo semua
baris kedua

baris keempat
31/12/23 21.17 - Siti: <Media tidak disertakan>
01/01/24 07.05 - Siti: Pesan ini telah dihapus
01/01/24 07.06 - +62 812-3456-7890: IMG-1.jpg (file terlampir)
lihat: ini fotonya
01/01/24 07.07 - Budi mengganti nama grup
"""


def test_an_android_chat_in_indonesian_is_read() -> None:
    posts = rows_of(ANDROID)
    assert [(post.line, post.account, post.created_at, post.text) for post in posts] == [
        (2, "Budi", "2023-12-31T21:16:00", "halo semua\nbaris kedua\n\nbaris keempat"),
        (8, "+62 812-3456-7890", "2024-01-01T07:06:00", "lihat: ini fotonya"),
    ]


def test_an_ios_chat_is_read() -> None:
    content = (
        "[31/12/23 21.15.30] Grup: \u200ePesan dan panggilan dienkripsi.\n"
        "[31/12/23 21.16.01] ~\u202fBudi: halo\nlagi\n"
        "\u200e[31/12/23 21.17.02] Siti: \u200egambar tidak disertakan\n"
    ).encode()
    assert [(post.account, post.created_at, post.text) for post in rows_of(content)] == [
        ("Budi", "2023-12-31T21:16:01", "halo\nlagi")
    ]


@pytest.mark.parametrize(
    ("opening", "moment"),
    [
        ("12/31/23, 9:15\u202fPM - ", "2023-12-31T21:15:00"),
        ("1/2/23, 12:05 AM - ", "2023-01-02T00:05:00"),
        ("01/02/23 09.05 - ", "2023-02-01T09:05:00"),
        ("31-12-2023, 21:15 - ", "2023-12-31T21:15:00"),
        ("2023/12/31, 21:15 - ", "2023-12-31T21:15:00"),
        ("31/12/23 pukul 21.15 - ", "2023-12-31T21:15:00"),
        ("[12/31/23, 9:15:30 PM] ", "2023-12-31T21:15:30"),
        ("99/99/23 21.15 - ", "99/99/23"),
    ],
)
def test_the_clock_and_calendar_of_the_phone_are_understood(opening: str, moment: str) -> None:
    posts = rows_of(f"{opening}Budi: halo\n".encode(), format="whatsapp")
    assert [post.created_at for post in posts] == [moment]


def test_lines_before_the_first_message_are_rejected() -> None:
    assert [item.line for item in rejects_of(b"catatan\n31/12/23 21.16 - Budi: halo\n")] == [1]


def test_a_text_that_is_no_chat_is_refused() -> None:
    with pytest.raises(FeedError, match="WhatsApp"):
        rows_of(b"halo\n", format="whatsapp")
