"""Load on a server: some clients, each asking one question after another over a connection that it keeps.

    python -m benchmarks.scale.load PORT QUESTIONS.json --clients 8 --seconds 10

Prints JSON. It speaks just enough HTTP/1.1 itself, so that on two cores the server is measured and not the client:
the standard library alone, and requests that are encoded before the clock runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

_HOST = "127.0.0.1"


@dataclass
class Outcome:
    """Latencies of the timed requests in milliseconds, and what went wrong."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def request_bytes(question: dict[str, object], port: int) -> bytes:
    """A POST of one question."""
    body = json.dumps(question).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: {_HOST}:{port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _client(port: int, requests: list[bytes], first: int, timed_from: float, until: float, to: Outcome) -> None:
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        for request in islice(cycle(requests), first, None):
            start = time.perf_counter()
            if start >= until:
                return
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200 ") or not body.startswith(b'{"data":{') or b'"errors"' in body:
                to.errors.append((head[:40] + body[:200]).decode(errors="replace"))
            if start >= timed_from:
                to.latencies_ms.append(1e3 * (time.perf_counter() - start))
    except (OSError, EOFError, ValueError) as error:
        to.errors.append(f"{type(error).__name__}: {error}")
    finally:
        writer.close()


async def load(port: int, requests: list[bytes], clients: int, seconds: float, warm_up_s: float) -> Outcome:
    """Ask for `warm_up_s + seconds`; the latter are timed."""
    timed_from = time.perf_counter() + warm_up_s
    outcome = Outcome()
    step = len(requests) // clients
    jobs = (_client(port, requests, n * step, timed_from, timed_from + seconds, outcome) for n in range(clients))
    await asyncio.gather(*jobs)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("questions", type=Path, help='a JSON list of {"query", "variables"}')
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10, help="timed, after the warm-up")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds")
    options = parser.parse_args()
    requests = [request_bytes(question, options.port) for question in json.loads(options.questions.read_text())]
    cpu = time.process_time()
    outcome = asyncio.run(load(options.port, requests, options.clients, options.seconds, options.warm_up))
    used = (time.process_time() - cpu) / (options.seconds + options.warm_up)
    times = sorted(outcome.latencies_ms) or [float("nan")]
    answer = {
        "requests": len(outcome.latencies_ms),
        "requests_per_s": len(outcome.latencies_ms) / options.seconds,
        "errors": len(outcome.errors),
        "first_error": outcome.errors[0] if outcome.errors else None,
        "p50_ms": times[len(times) // 2],
        "p95_ms": times[int(0.95 * len(times))],
        "p99_ms": times[int(0.99 * len(times))],
        "max_ms": times[-1],
        "client_cpu": used,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
