"""docs/benchmark-desk.md."""

from __future__ import annotations

from service.bench.clients import CLIENTS, Load
from service.bench.narratives import WINDOW, Narrated
from service.bench.queue import Queue
from service.bench.run import Measured


def report(found: Measured, machine: str) -> str:
    """Return the report; what was left out of the run is left out of it."""
    if found.narrated is not None and found.latency is found.single is None and not found.queues:
        return "\n".join([*_narratives(found.narrated, machine)[1:], ""])
    lines = [
        "# Benchmark of the desk",
        "",
        f"Written by `lilin bench-desk` on: {machine}. Real processes on loopback; the clients run "
        "on the same cores. A steady client's time counts from the moment its request was due. "
        f"Texts: {found.texts:,} posts written for Lilin, and halves of two of them put together.",
        "",
        "| measured | figure | target |",
        "|---|---|---|",
    ]
    if found.latency is not None:
        latency = found.latency
        lines.append(
            f"| `POST /v1/score`, one post, 10 requests a second | p50 {latency.quantile(0.5):.0f} "
            f"ms, p99 {latency.quantile(0.99):.0f} ms ({_kinds(latency)}) "
            "| p50 ≤ 30 ms, p99 ≤ 150 ms |"
        )
    if found.alone and found.single is not None and found.listed is not None:
        lines += [
            f"| the scorer in a process of its own | {found.alone:.0f} posts a second | |",
            f"| {CLIENTS} clients, a post each | {_saturated(found.single, found.alone)} | ≥ 80 % |",
            f"| {CLIENTS} clients, 16 posts each | {_saturated(found.listed, found.alone)} | ≥ 80 % |",
        ]
    if found.beyond is not None:
        lines.append(
            f"| {CLIENTS} clients, 250 posts each: more than may wait | {_kinds(found.beyond)}; "
            f"{found.beyond.rate:.0f} posts a second | 429, no timeout |"
        )
    if found.rival is not None and found.single is not None:
        lines += [
            f"| plain FastAPI + transformers, {found.rival_said}, {CLIENTS} clients, a post each "
            f"| {found.rival.rate:.1f} posts a second, p50 {found.rival.quantile(0.5):.0f} ms "
            f"({_kinds(found.rival)}) | |",
            f"| Lilin against it | {found.single.rate / max(found.rival.rate, 1e-9):.1f}× | ≥ 3× |",
        ]
    if found.ready:
        starts = ", ".join(f"{s:.2f}" for s in found.ready)
        lines.append(f"| from start to ready | {starts} s | ≤ 3 s |")
        lines.append(
            f"| resident memory, ready / highest under all of the load above | {found.memory_ready} "
            f"/ {found.memory_highest} MB | ≤ 450 MB |"
        )
    for queue in found.queues:
        page, api = queue.all(queue.page), queue.all(queue.api)
        lines += [
            f"| queue page on {queue.kind} | p50 {page.quantile(0.5):.0f} ms, "
            f"p95 {page.quantile(0.95):.0f} ms | p95 ≤ 100 ms |",
            f"| `GET /v1/queue` on {queue.kind} | p50 {api.quantile(0.5):.0f} ms, "
            f"p95 {api.quantile(0.95):.0f} ms | p95 ≤ 100 ms |",
        ]
    for queue in found.queues:
        lines += _queue(queue)
    if found.narrated is not None:
        lines += _narratives(found.narrated, machine)
    return "\n".join([*lines, ""])


def _saturated(load: Load, alone: float) -> str:
    return (
        f"{load.rate:.0f} posts a second, {load.rate / alone:.0%} of it; "
        f"p99 {load.quantile(0.99):.0f} ms ({_kinds(load)})"
    )


def _kinds(load: Load) -> str:
    return ", ".join(f"{count:,} × {kind}" for kind, count in sorted(load.kinds.items()))


def _queue(queue: Queue) -> list[str]:
    lines = [
        "",
        f"## The queue on {queue.kind}",
        "",
        f"{queue.posts:,} posts, {queue.open:,} open items and as many decided, filled in "
        f"{queue.filled_s:.0f} s. One request after the other; milliseconds. Highest resident "
        f"memory of the service meanwhile: {queue.memory[1]} MB.",
        "",
        "| view | page p50 | page p95 | API p50 | API p95 | answers |",
        "|---|---|---|---|---|---|",
    ]
    for name in queue.api:
        api, page = queue.api[name], queue.page.get(name)
        figures = [load.quantile(q) for load in (page or Load(), api) for q in (0.5, 0.95)]
        shown = " | ".join("" if f != f else f"{f:.0f}" for f in figures)
        answers = Load(kinds=api.kinds + (page.kinds if page else Load().kinds))
        lines.append(f"| {name} | {shown} | {_kinds(answers)} |")
    return lines


def _narratives(found: Narrated, machine: str) -> list[str]:
    lines = [
        "",
        "# From post to narrative",
        "",
        f"Written by `lilin bench-desk --parts f` on: {machine}. "
        "Posts taken in, grouped, measured and staged by the very code of the service, scoring "
        "apart, on SQLite, by one process and the second one that the grouping begins while many "
        f"posts wait; the last {WINDOW:,} before each mark, or half of all. "
        "A share of them repeats or retells one of "
        "those that came last. What grows with the number stored is how many others a post may be "
        "near to, by text and by meaning: at 10,000, the first day of a desk, few are there. Posts "
        "have numbers as X gives them, which grow with time, as do the keys of posts without a "
        "number but with a time; of a platform whose numbers do not (YouTube) each post touches "
        "an index page of its own, and that costs more the more there are. “Against the middle” "
        "is against the mean of the cheapest and the dearest: whether all lie within ±20 % of one "
        "cost. The plain way is the Jaccard with each of the last 2,000 "
        f"posts: {found.rival:,.0f} posts a second, without meaning, measuring or storing.",
        "",
        "| posts stored | posts a second (target 5,000) | cost of a post | against the middle "
        "(target ±20 %) | against the first | intake | grouping and watching |",
        "|---|---|---|---|---|---|---|",
    ]
    costs = [1 / pace.rate for pace in found.paces]
    middle = (min(costs) + max(costs)) / 2
    for pace, cost in zip(found.paces, costs, strict=True):
        whole = pace.intake_s + pace.grouping_s
        lines.append(
            f"| {pace.stored:,} | {pace.rate:,.0f} | {1e6 * cost:.0f} µs | {cost / middle - 1:+.1%} "
            f"| {cost / costs[0] - 1:+.0%} "
            f"| {pace.intake_s / whole:.0%} | {pace.grouping_s / whole:.0%} |"
        )
    return lines
