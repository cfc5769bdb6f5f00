-- Moments are nanoseconds since the Unix epoch, hours are hours since it. Enforced where it costs nothing:
-- one open challenge a worker, one verdict a challenge.

CREATE TABLE miners (
    id      INTEGER PRIMARY KEY,
    hotkey  TEXT NOT NULL UNIQUE,
    seen    INTEGER NOT NULL
) STRICT;

CREATE TABLE workers (
    id            INTEGER PRIMARY KEY,
    miner         INTEGER NOT NULL REFERENCES miners (id),
    worker        TEXT NOT NULL,
    name          TEXT,
    version       TEXT,
    capabilities  TEXT NOT NULL,               -- JSON list
    status        TEXT NOT NULL,
    seen          INTEGER NOT NULL,
    UNIQUE (miner, worker)
) STRICT;

CREATE TABLE hardware (
    worker    INTEGER PRIMARY KEY REFERENCES workers (id),
    reported  INTEGER NOT NULL,
    facts     TEXT NOT NULL                    -- JSON as sent
) STRICT;

-- Each hotkey's word that a GPU is its own. Who owns it is for scoring to say.
CREATE TABLE gpu_inventory (
    uuid    TEXT NOT NULL,
    miner   INTEGER NOT NULL REFERENCES miners (id),
    worker  INTEGER NOT NULL REFERENCES workers (id),
    model   TEXT NOT NULL,
    since   INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    PRIMARY KEY (uuid, miner)
) STRICT, WITHOUT ROWID;

CREATE INDEX gpu_inventory_by_worker ON gpu_inventory (worker);

-- Texts that availability and challenges refer to by number; `hour` is the last hour that did. Not enforced:
-- that would take an index on the largest table.
CREATE TABLE addresses (
    id    INTEGER PRIMARY KEY,
    text  TEXT NOT NULL UNIQUE,
    hour  INTEGER NOT NULL
) STRICT;

CREATE TABLE gpu_sets (
    id    INTEGER PRIMARY KEY,
    text  TEXT NOT NULL UNIQUE,                -- JSON list of uuids, sorted
    hour  INTEGER NOT NULL
) STRICT;

-- A row a worker and hour; one more for each change of address or GPUs within the hour.
CREATE TABLE availability (
    worker   INTEGER NOT NULL REFERENCES workers (id),
    hour     INTEGER NOT NULL,
    segment  INTEGER NOT NULL,
    mask     INTEGER NOT NULL,                 -- bit n: a heartbeat in minutes 5n to 5n+4
    last_s   INTEGER NOT NULL,                 -- second of the hour of the last heartbeat
    address  INTEGER,
    gpu_set  INTEGER,
    PRIMARY KEY (worker, hour, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE challenges (
    id              INTEGER PRIMARY KEY,
    uuid            TEXT NOT NULL UNIQUE,
    worker          INTEGER NOT NULL REFERENCES workers (id),
    kind            TEXT NOT NULL,
    matrix_size     INTEGER NOT NULL,
    iterations      INTEGER NOT NULL,
    seed            TEXT,                      -- these five: NULL once compacted
    round_id        TEXT,
    rows            TEXT,                      -- JSON list
    commitments     TEXT,                      -- JSON list of [uuid, root]
    verify_ms       REAL,
    created         INTEGER NOT NULL,
    sent            INTEGER,
    committed       INTEGER,
    verifying       INTEGER,
    ended           INTEGER,
    computation_ms  REAL,
    gpu_set         INTEGER,
    verdict         TEXT CHECK (verdict IN ('verified', 'failed', 'void')),
    success_count   INTEGER,
    reason          TEXT,
    compacted       INTEGER NOT NULL DEFAULT 0,
    CHECK ((ended IS NULL) = (verdict IS NULL))
) STRICT;

CREATE INDEX challenges_by_age ON challenges (created);
CREATE INDEX challenges_by_worker ON challenges (worker);
CREATE UNIQUE INDEX challenges_open ON challenges (worker) WHERE ended IS NULL;

-- By names, not by numbers: a lease may come before its worker's first heartbeat.
CREATE TABLE leases (
    hotkey  TEXT NOT NULL,
    worker  TEXT NOT NULL,
    score   REAL NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (hotkey, worker)
) STRICT, WITHOUT ROWID;

CREATE TABLE scores (
    at             INTEGER NOT NULL,
    hotkey         TEXT NOT NULL,
    policy         TEXT NOT NULL,
    online         INTEGER NOT NULL,
    workers        INTEGER NOT NULL,
    ranked         INTEGER NOT NULL,
    raw            REAL NOT NULL,
    own_challenge  REAL NOT NULL,
    challenge      REAL NOT NULL,
    replaced       INTEGER NOT NULL,
    lease          REAL NOT NULL,
    availability   REAL NOT NULL,
    composite      REAL NOT NULL,
    weight         REAL NOT NULL,
    PRIMARY KEY (at, hotkey)
) STRICT, WITHOUT ROWID;

-- The workers of the newest calculation only, itemised.
CREATE TABLE worker_scores (
    hotkey           TEXT NOT NULL,
    worker           TEXT NOT NULL,
    at               INTEGER NOT NULL,
    place            INTEGER,
    counted          INTEGER NOT NULL,
    attempts         INTEGER NOT NULL,
    disowned         INTEGER NOT NULL,
    void             INTEGER NOT NULL,
    time_ms          REAL NOT NULL,
    devices          REAL NOT NULL,
    participation    REAL NOT NULL,
    buckets          INTEGER NOT NULL,
    buckets_of       INTEGER NOT NULL,
    gpus_required    INTEGER NOT NULL,
    address_changes  INTEGER NOT NULL,
    availability     REAL NOT NULL,
    performance      REAL NOT NULL,
    score            REAL NOT NULL,
    PRIMARY KEY (hotkey, worker)
) STRICT, WITHOUT ROWID;

CREATE TABLE weight_intents (
    id        INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    at_block  INTEGER NOT NULL,
    weights   TEXT NOT NULL                    -- JSON list of [uid, hotkey, share]
) STRICT;

CREATE TABLE weight_outcomes (
    id       INTEGER PRIMARY KEY,
    intent   INTEGER NOT NULL REFERENCES weight_intents (id),
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('submitted', 'included', 'confirmed', 'refused', 'expired')),
    hash     BLOB,
    block    INTEGER,                          -- submitted: best block then
    until    INTEGER,
    reason   TEXT
) STRICT;

CREATE INDEX weight_outcomes_by_intent ON weight_outcomes (intent, id);
