-- Who owns a GPU is judged by worker, by claim and by proof.

CREATE TABLE claims (
    uuid    TEXT NOT NULL,
    worker  INTEGER NOT NULL REFERENCES workers (id),
    model   TEXT NOT NULL,
    since   INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    proved  INTEGER,                           -- when the last challenge was made that proved it; NULL: none
    PRIMARY KEY (uuid, worker)
) STRICT, WITHOUT ROWID;

INSERT INTO claims (uuid, worker, model, since, seen, proved)
SELECT uuid, worker, model, since, seen,
    (SELECT max(created) FROM challenges JOIN gpu_sets ON gpu_sets.id = challenges.gpu_set, json_each(gpu_sets.text)
     WHERE challenges.worker = gpu_inventory.worker AND verdict = 'verified' AND json_each.value = gpu_inventory.uuid)
FROM gpu_inventory;
DROP TABLE gpu_inventory;
ALTER TABLE claims RENAME TO gpu_inventory;
CREATE INDEX gpu_inventory_by_worker ON gpu_inventory (worker);

-- Verified challenges whose GPUs are all in quarantine, what of the lease counts, and why in words.
ALTER TABLE worker_scores ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker_scores ADD COLUMN lease_share REAL NOT NULL DEFAULT 1;
ALTER TABLE worker_scores ADD COLUMN verdict TEXT;
