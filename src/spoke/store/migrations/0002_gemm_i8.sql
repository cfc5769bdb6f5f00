-- gemm_i8: `iterations` counts its rounds. `reason` of a verified challenge says what is to be said of it.

ALTER TABLE challenges ADD COLUMN devices TEXT;    -- JSON list; NULL: the CPU
ALTER TABLE challenges ADD COLUMN samples TEXT;    -- JSON list of [uuid, [[round, row, chunk]]]; NULL once compacted
ALTER TABLE challenges ADD COLUMN ops REAL;        -- operations of the devices that passed

-- Rounds that had no time to verify a challenge of this worker. Not enforced: that would take a second index.
CREATE TABLE passed_over (
    at      INTEGER NOT NULL,
    worker  INTEGER NOT NULL,
    PRIMARY KEY (at, worker)
) STRICT, WITHOUT ROWID;
