"""What was seen in the figures and read by eye: renewed by hand with each measurement."""

from __future__ import annotations

from typing import Final

NOT_REACHED: Final[tuple[str, ...]] = (
    "**Why not twice the best rival.** On this background (about 2,000 posts a day) 20 alerts a day "
    "are more than there are bursts: a plain volume alarm may ring for every group of a few copies, "
    "and so meets most of what grows as well. It pays with 14.0 alerts in vain a day against 4.9. "
    "Held to about as many in vain as the desk, the best rival meets 36 % (z-score), the desk 81 %: "
    "2.2 times as many. With 10 alerts a day the z-score is level with the desk (50 % and 52 %). "
    "The grouping is ours in all of these rivals; on copies to the letter they meet less (69 % and "
    "55 % at 20 a day). What a busier desk would show, with more harmless bursts than anyone can "
    "read, was not measured.",
    "",
)
BY_EYE: Final[tuple[str, ...]] = (
    "### Read by eye",
    "",
    "- **Vaccines, April 2021**: eight alerts in a month. One is what the desk is for: “Vaksin + "
    "Jantung = Mati sebab Jantung”, told by three when it was raised. The seven others are messages "
    "of the vaccination campaign and news of it, in vain: the model gives the words “vaksin covid "
    "19” too much risk.",
    "- **Finance minister, autumn 2025**: 26 in eight weeks. Worth a look: two chains of referral "
    "spam that promise money for an app, and rumours of the minister's family that spread on the "
    "day of his oath (whose cousin he is, what his son “really” meant). In vain: genuine news of "
    "the 200 trillion rupiah put into banks, one of which went as far as *api* with 29 posts, and "
    "an essay of criticism. News and criticism of a minister are not the target; the one cure is "
    "the watch-list (labels, least risk) until the model tells them better apart.",
    "- **Police, winter 2024/25**: one, a pious greeting, in vain.",
    "- **Election 2023 and tax 2025**: none, though the election feed is full of the campaign's "
    "near-copies, which is what alarms of volume ring for.",
    "",
)
