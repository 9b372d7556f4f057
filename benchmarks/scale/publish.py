"""One publish in a process of its own, so that its time and peak memory are its own.

    python -m benchmarks.scale.publish RUN_DIR DB

Prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import resolve
from evigraph.schema.errors import EvidenceError

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Published:
    """What a publish took; seconds by stage as its progress tells, peak memory of its process."""

    edges: int
    size_bytes: int
    seconds: float
    stage_s: dict[str, float]
    peak_bytes: int


def publish_alone(run_dir: Path, db: Path) -> Published:
    """Publish one run to `db`.

    Raises:
        EvidenceError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.scale.publish", str(run_dir.absolute()), str(db.absolute())]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EvidenceError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return Published(**json.loads(done.stdout))


def _publish(run_dir: Path, db: Path) -> Published:
    stage_s: dict[str, float] = {}
    current, since = "begin", time.monotonic()

    def progress(stage: str, done: int, total: int) -> None:
        """Each call comes before its step: the time until the next one belongs to its stage."""
        nonlocal current, since
        del done, total
        now = time.monotonic()
        stage_s[current] = stage_s.get(current, 0.0) + now - since
        current, since = stage, now

    report = publish([run_dir], db, progress)
    progress("end", 0, 0)
    status = Path("/proc/self/status").read_text().splitlines()
    (peak_kib,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return Published(report.edge_count, report.size_bytes, report.seconds, stage_s, peak_kib * 1024)


def bytes_by_table(db: Path) -> dict[str, int]:
    """Bytes on disk of each table of a database, the largest first; "(other)" is what no column holds.

    DuckDB packs columns of several tables into one block and does not tell their sizes, but where in its block each
    begins: a column reaches to the next one, the last to the end of its block.
    """
    file = resolve(db)
    connection = duckdb.connect(str(file), read_only=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        (block_size,) = connection.execute("SELECT block_size FROM pragma_database_size()").fetchall()[0]
        segments = " UNION ALL ".join(
            f"SELECT '{table}' AS name, block_id, block_offset, additional_block_ids "
            f"FROM pragma_storage_info('{table}') WHERE persistent AND block_id >= 0"
            for table in tables
        )
        rows = connection.execute(
            f"""WITH place AS (
                    SELECT name, block_id, block_offset, any_value(len(additional_block_ids)) AS more
                    FROM ({segments}) GROUP BY ALL),
                sized AS (
                    SELECT name, more * $block - block_offset
                        + lead(block_offset, 1, $block) OVER (PARTITION BY block_id ORDER BY block_offset) AS bytes
                    FROM place)
                SELECT name, sum(bytes)::BIGINT FROM sized GROUP BY name ORDER BY 2 DESC""",
            {"block": block_size},
        ).fetchall()
    finally:
        connection.close()
    sizes = {str(name): int(size) for name, size in rows}
    return sizes | {"(other)": file.stat().st_size - sum(sizes.values())}


if __name__ == "__main__":
    print(json.dumps(asdict(_publish(Path(sys.argv[1]), Path(sys.argv[2])))))
