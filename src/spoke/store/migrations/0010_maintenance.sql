-- What miners announce of their workers: each change is a fact of the log. A window holds until the next event of its
-- worker at the latest, and not before it was announced; starts = ends: none.

CREATE TABLE maintenance (
    seq     INTEGER PRIMARY KEY,
    miner   INTEGER NOT NULL REFERENCES miners (id),
    worker  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    starts  INTEGER NOT NULL,
    ends    INTEGER NOT NULL
) STRICT;

CREATE INDEX maintenance_by_worker ON maintenance (miner, worker, seq);
CREATE INDEX maintenance_by_age ON maintenance (miner, at);
