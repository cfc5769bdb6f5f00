-- gemm_i8: `iterations` counts its rounds. `reason` of a verified challenge says what is to be said of it.

ALTER TABLE challenges ADD COLUMN devices TEXT;    -- JSON list; NULL: the CPU
ALTER TABLE challenges ADD COLUMN samples TEXT;    -- JSON list of [uuid, [[round, row, chunk]]]; NULL once compacted
ALTER TABLE challenges ADD COLUMN ops REAL;        -- operations of the devices that passed

-- Rounds that had no time to verify everybody: row numbers of the workers that got no challenge (see rounds.rs).
CREATE TABLE rounds (
    at           INTEGER PRIMARY KEY,
    passed_over  BLOB NOT NULL
) STRICT;

-- Whose file this is: one row, made when a validator opens it.
CREATE TABLE owner (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    hotkey  TEXT NOT NULL
) STRICT;

-- Policies differ in their unit; workers in what was expected of them.
ALTER TABLE scores ADD COLUMN unit TEXT NOT NULL DEFAULT '1/ms';    -- of raw
ALTER TABLE worker_scores ADD COLUMN base REAL NOT NULL DEFAULT 0;
ALTER TABLE worker_scores ADD COLUMN unit TEXT NOT NULL DEFAULT '1/ms';    -- of base and performance
ALTER TABLE worker_scores ADD COLUMN busy_ms REAL NOT NULL DEFAULT 0;
ALTER TABLE worker_scores ADD COLUMN ops REAL NOT NULL DEFAULT 0;
ALTER TABLE worker_scores ADD COLUMN passed_over INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker_scores ADD COLUMN baseline REAL NOT NULL DEFAULT 0;
