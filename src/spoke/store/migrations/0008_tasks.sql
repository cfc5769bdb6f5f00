-- Tasks of the marketplace that have not expired. One that has goes by the machine's word, and may be there a while longer.
CREATE TABLE market_tasks (
    task_key   TEXT PRIMARY KEY,
    hotkey     TEXT NOT NULL,
    worker     TEXT NOT NULL,
    task_type  TEXT NOT NULL,
    payload    TEXT NOT NULL,
    priority   INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    expires    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
