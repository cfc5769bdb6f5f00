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

-- Forgetting a worker, compacting a challenge and forgetting a claim read what they are about, and no more.
CREATE INDEX proofs_by_worker ON proofs (worker);
CREATE INDEX challenges_to_compact ON challenges (created) WHERE compacted = 0 AND verdict = 'verified';
CREATE INDEX gpu_inventory_by_age ON gpu_inventory (seen);
