-- Journals of runs: what policies called and were answered. rtmanager's own; deleting rows loses explanations, no more.
CREATE TABLE run_journals (
    -- Sorted by time.
    run_id     TEXT    NOT NULL PRIMARY KEY,
    -- NULL while the game is not known to have a record.
    tenant     TEXT,
    game_id    TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    -- Of the journal.
    bytes      INTEGER NOT NULL,
    -- JSON, with a version in it.
    journal    TEXT    NOT NULL
) STRICT;
-- What a tenant's journals take together is summed in this index alone.
CREATE INDEX run_journals_tenant ON run_journals (tenant, run_id, bytes);
CREATE INDEX run_journals_game ON run_journals (game_id, run_id);
CREATE INDEX run_journals_started ON run_journals (started_at, run_id);
