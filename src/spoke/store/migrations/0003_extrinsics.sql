-- What is on its way to the chain, so that a restart at any point neither loses nor doubles it.

-- Which chain this is, and when it last confirmed weights. One row.
CREATE TABLE chain (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    genesis    BLOB,
    confirmed  INTEGER
) STRICT;

INSERT INTO chain (id, confirmed) SELECT 1, max(at) FROM weight_outcomes WHERE kind = 'confirmed';

-- Signed extrinsics, stored before they are sent. The newest without an end may be in a pool or a block.
CREATE TABLE extrinsics (
    id            INTEGER PRIMARY KEY,
    hash          BLOB NOT NULL UNIQUE,
    errand        TEXT NOT NULL CHECK (errand IN ('axon', 'weights', 'reveal')),
    intent        INTEGER REFERENCES weight_intents (id),    -- NULL: the axon's
    path          TEXT CHECK (path IN ('open', 'timelocked', 'hash')),    -- these three: of weights
    salt          TEXT,                        -- JSON list; of a hash
    version_key   TEXT,                        -- in decimal: it may need all 64 bits
    bytes         BLOB NOT NULL,
    nonce         INTEGER NOT NULL,
    after         INTEGER NOT NULL,            -- best block when it was signed
    until         INTEGER NOT NULL,            -- last block that may include it
    drand_round   INTEGER,                     -- these three: when a commitment is opened
    commit_epoch  INTEGER,
    reveal_block  INTEGER,
    signed        INTEGER NOT NULL,
    ended         INTEGER
) STRICT;

CREATE INDEX extrinsics_by_intent ON extrinsics (intent);

-- More can become of weights than before.
CREATE TABLE outcomes (
    id       INTEGER PRIMARY KEY,
    intent   INTEGER NOT NULL REFERENCES weight_intents (id),
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN
                 ('submitted', 'included', 'confirmed', 'refused', 'expired', 'dropped', 'superseded')),
    block    INTEGER,
    reason   TEXT
) STRICT;

INSERT INTO outcomes (id, intent, at, kind, block, reason) SELECT id, intent, at, kind, block, reason FROM weight_outcomes;
DROP TABLE weight_outcomes;
ALTER TABLE outcomes RENAME TO weight_outcomes;
CREATE INDEX weight_outcomes_by_intent ON weight_outcomes (intent, id);
