-- What scoring looked at can be looked at again as it was: each fact has a number, in the order in which the facts
-- became durable, and no fact of the log is changed. A score names the last number that it saw.

CREATE TABLE log (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL                      -- the newest
) STRICT;

INSERT INTO log (id, seq) SELECT 1, coalesce(max(id), 1) FROM challenges;    -- 1: of before the log

-- What a heartbeat said of each worker, as far as scoring looks at it; heartbeats that say the same share one.
CREATE TABLE rosters (
    id    INTEGER PRIMARY KEY,
    text  TEXT NOT NULL UNIQUE,                -- JSON list of [worker, address, GPUs present, GPUs owned], 0: none
    hour  INTEGER NOT NULL                     -- last one that it was said in
) STRICT;

CREATE TABLE beats (
    seq     INTEGER PRIMARY KEY,
    miner   INTEGER NOT NULL REFERENCES miners (id),
    at      INTEGER NOT NULL,
    roster  INTEGER                            -- NULL: credited to no worker
) STRICT;

CREATE INDEX beats_by_miner ON beats (miner);

-- Before which number no beat of an hour lies.
CREATE TABLE hours (
    hour  INTEGER PRIMARY KEY,
    seq   INTEGER NOT NULL
) STRICT;

-- A challenge is a fact once it has ended.
ALTER TABLE challenges ADD COLUMN ended_seq INTEGER;
UPDATE challenges SET ended_seq = id WHERE ended IS NOT NULL;
CREATE INDEX challenges_by_end ON challenges (ended_seq) WHERE ended_seq IS NOT NULL;

-- The others: since when they are known.
ALTER TABLE workers ADD COLUMN seq INTEGER NOT NULL DEFAULT 1;
ALTER TABLE gpu_inventory ADD COLUMN seq INTEGER NOT NULL DEFAULT 1;
ALTER TABLE rounds ADD COLUMN seq INTEGER NOT NULL DEFAULT 1;

CREATE INDEX gpu_inventory_by_seq ON gpu_inventory (seq);

-- When a worker proved a GPU.
CREATE TABLE proofs (
    seq      INTEGER NOT NULL,
    uuid     TEXT NOT NULL,
    worker   INTEGER NOT NULL REFERENCES workers (id),
    created  INTEGER NOT NULL,                 -- of the challenge
    PRIMARY KEY (uuid, worker, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX proofs_by_seq ON proofs (seq);
INSERT INTO proofs (seq, uuid, worker, created) SELECT 1, uuid, worker, proved FROM gpu_inventory WHERE proved IS NOT NULL;
ALTER TABLE gpu_inventory DROP COLUMN proved;


-- Availability was kept as a mask an hour and worker: each of its buckets becomes a beat.
CREATE TEMP TABLE marks AS
WITH RECURSIVE bits (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM bits WHERE n < 11)
SELECT workers.miner, availability.hour * 12 + bits.n AS bucket, availability.worker,
    coalesce(max(availability.address), 0) AS address, coalesce(max(availability.gpu_set), 0) AS gpus
FROM availability JOIN workers ON workers.id = availability.worker JOIN bits ON availability.mask >> bits.n & 1
GROUP BY workers.miner, bucket, availability.worker;

CREATE TEMP TABLE said AS
SELECT miner, bucket, '[' || group_concat('[' || worker || ',' || address || ',' || gpus || ',0]', ',' ORDER BY worker) || ']' AS text
FROM marks GROUP BY miner, bucket;

INSERT INTO rosters (text, hour) SELECT text, max(bucket) / 12 FROM said GROUP BY text ORDER BY min(bucket);
INSERT INTO beats (miner, at, roster)
SELECT miner, bucket * 300000000000, rosters.id FROM said JOIN rosters USING (text) ORDER BY bucket, miner;
INSERT INTO hours (hour, seq) SELECT at / 3600000000000, min(seq) FROM beats GROUP BY 1;
UPDATE log SET seq = max(seq, coalesce((SELECT max(seq) FROM beats), 0));
DROP TABLE said;
DROP TABLE marks;
DROP TABLE availability;

-- Each calculation, and what it was made from.
CREATE TABLE scorings (
    at         INTEGER PRIMARY KEY,
    seq        INTEGER NOT NULL,               -- the newest fact that it saw
    policy     TEXT NOT NULL,                  -- JSON, every parameter
    metagraph  INTEGER NOT NULL REFERENCES hotkey_lists (id),
    ranking_s  INTEGER NOT NULL,               -- how far back it looked at challenges
    heard_s    INTEGER NOT NULL,               -- and at heartbeats
    digest     BLOB NOT NULL                   -- SHA-256 of the scores, as they are reported
) STRICT;

CREATE TABLE hotkey_lists (
    id    INTEGER PRIMARY KEY,
    text  TEXT NOT NULL UNIQUE                 -- JSON list, sorted
) STRICT;

-- What the shadow policy makes of the newest.
CREATE TABLE shadow_scores (
    hotkey  TEXT PRIMARY KEY,
    at      INTEGER NOT NULL,
    policy  TEXT NOT NULL,
    weight  REAL NOT NULL,                     -- by the policy in force
    shadow  REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- From which calculation weights were made, and whom they left out: JSON list of [hotkey, why].
ALTER TABLE weight_intents ADD COLUMN scored_at INTEGER;
ALTER TABLE weight_intents ADD COLUMN left_out TEXT;
ALTER TABLE weight_intents ADD COLUMN max_share INTEGER NOT NULL DEFAULT 65535;    -- as the chain allowed, of 65535

-- How many new rosters a miner made in an hour, and its newest beat: both bound what one miner can make the log keep.
ALTER TABLE miners ADD COLUMN fresh_hour INTEGER NOT NULL DEFAULT 0;
ALTER TABLE miners ADD COLUMN fresh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE miners ADD COLUMN beat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE miners ADD COLUMN roster INTEGER;
