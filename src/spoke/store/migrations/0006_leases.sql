-- Leases belong to what scoring looked at: each change is a fact of the log, and so is when the source spoke.

-- A worker that the newest event gives 0 has no lease.
CREATE TABLE lease_events (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    hotkey  TEXT NOT NULL,
    worker  TEXT NOT NULL,
    score   REAL NOT NULL,
    source  TEXT NOT NULL
) STRICT;

CREATE INDEX lease_events_by_worker ON lease_events (hotkey, worker, seq);

-- When a source said anything valid about leases, changes or none.
CREATE TABLE lease_words (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    source  TEXT NOT NULL
) STRICT;

-- Leases as they are now; a worker without one is not in it. Those of before are the marketplace's: nobody else gave any.
ALTER TABLE leases ADD COLUMN source TEXT NOT NULL DEFAULT 'meshhub';
DELETE FROM leases WHERE score <= 0;

INSERT INTO lease_events (seq, at, hotkey, worker, score, source)
SELECT row_number() OVER (ORDER BY at, hotkey, worker), at, hotkey, worker, score, source FROM leases;
INSERT INTO lease_words (seq, at, source) SELECT 1, max(at), 'meshhub' FROM leases HAVING count(*) > 0;
UPDATE log SET seq = max(seq, coalesce((SELECT max(seq) FROM lease_events), 0));
