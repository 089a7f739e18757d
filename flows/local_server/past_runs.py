"""The last runs of this folder while its server is down, read from Prefect's own database."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.paths import Paths

# What is read of Prefect's tables (3.x): the same as its API answers, under the same names.
_QUERY = """
    SELECT run.id, run.name, run.state_name, run.start_time, run.expected_start_time, run.end_time,
        round((julianday(run.end_time) - julianday(run.start_time)) * 86400, 3) AS total_run_time, state.message
    FROM flow_run AS run JOIN flow ON flow.id = run.flow_id LEFT JOIN flow_run_state AS state ON state.id = run.state_id
    WHERE flow.name IN ({}) AND run.state_type != 'SCHEDULED'
    ORDER BY run.expected_start_time DESC LIMIT ?
"""


def database() -> Path:
    """The file of Prefect's database."""
    home = os.environ.get("PREFECT_HOME")
    return (Path(home) if home else Paths().work() / "prefect") / "prefect.db"


def past_runs(flows: list[str], limit: int) -> list[dict[str, Any]]:
    """The last runs of these flows that have started, as status.last_runs has them; the newest first.

    None where there is no database, or one with other tables, as of another version of Prefect.
    """
    try:
        with closing(sqlite3.connect(f"{database().resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(_QUERY.format(", ".join("?" * len(flows))), (*flows, limit)).fetchall()
    except sqlite3.Error:
        return []
    return [{**row, "state": {"message": row["message"]}} for row in map(dict, rows)]
