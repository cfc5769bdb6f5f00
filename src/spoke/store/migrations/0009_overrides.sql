-- What the marketplace changed of the settings: in force in place of the file's, across restarts.

CREATE TABLE overrides (
    key       TEXT PRIMARY KEY,
    value     TEXT NOT NULL,                   -- JSON
    at        INTEGER NOT NULL,
    message   TEXT,                            -- number of the update; NULL: it had none
    reverted  INTEGER                          -- taken back, and in force until the validator's next start
) STRICT, WITHOUT ROWID;

-- Every change, the newest thousand.
CREATE TABLE override_history (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    key      TEXT NOT NULL,
    old      TEXT NOT NULL,                    -- JSON
    new      TEXT,                             -- NULL: taken back by the operator
    message  TEXT
) STRICT;
