-- The tables of one rtmanager file. Times are microseconds since the Unix epoch, UTC.
--
-- Platforms read and write `runtime_records` and read `operation_log`. The other tables, and the columns
-- named cleanup_*, claimed_*, own_version, fence and last_run_id, are rtmanager's own: read them, never write them.
--
-- Writing `runtime_records` directly:
--   * Use INSERT, UPDATE, or INSERT … ON CONFLICT (game_id) DO UPDATE. Never REPLACE: it would drop a hold.
--   * `version` need not be known: the triggers below raise it.
--   * Times may be left alone: the triggers set `stopped_at` on a stop (and when a stopped row gets another
--     container or `started_at`), `removed_at` on a removal and `last_op_at` on a change of status, unless the
--     same statement changes them.
--   * A row that passes the constraints but is still wrong (a tenant with a space in it, a label that is
--     no text) is reported for its own game and passed over by lists and by the sweeper.

-- One row for each game: what the platform knows about its runtime.
CREATE TABLE runtime_records (
    -- The game, 1 to 256 bytes, platform-wide.
    game_id              TEXT    NOT NULL PRIMARY KEY CHECK (length(CAST(game_id AS BLOB)) BETWEEN 1 AND 256),
    -- Whose game it is; a game never changes its tenant.
    tenant               TEXT    NOT NULL DEFAULT 'default' CHECK (tenant <> ''),
    -- The configured name of the container engine that runs it.
    engine               TEXT    NOT NULL CHECK (engine <> ''),
    -- 'running', 'stopped', 'removed', or a word of the platform's own.
    status               TEXT    NOT NULL CHECK (status <> ''),
    -- The full id, 64 lower-case hexadecimal digits; NULL if there is no container (any more).
    current_container_id TEXT    CHECK (length(current_container_id) = 64
                                        AND current_container_id NOT GLOB '*[^0-9a-f]*'),
    -- The image reference that the container was started from.
    current_image_ref    TEXT,
    -- A JSON object of texts.
    labels               TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(labels) AND json_type(labels) = 'object'),
    created_at           INTEGER NOT NULL CHECK (created_at >= 0)
                         DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000),
    started_at           INTEGER CHECK (started_at >= 0),
    -- When the platform stopped it. Retention counts from here.
    stopped_at           INTEGER CHECK (stopped_at >= 0),
    removed_at           INTEGER CHECK (removed_at >= 0),
    -- The last operation of any kind.
    last_op_at           INTEGER NOT NULL CHECK (last_op_at >= 0)
                         DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000),
    -- Grows with every change of the columns above but last_op_at alone.
    version              INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),

    -- rtmanager's own, from here on.
    -- The version that rtmanager itself wrote last, by which the triggers tell its changes from others'.
    own_version             INTEGER NOT NULL DEFAULT 0,
    -- The fence of the last run that began on the game, or a greater one if that was given up; and the run that
    -- changed the status last.
    fence                   INTEGER NOT NULL DEFAULT 0 CHECK (fence >= 0),
    last_run_id             TEXT,
    -- The walk that is going to offer the row, and when its claim ends by itself.
    claimed_by              TEXT,
    claimed_until           INTEGER CHECK (claimed_until >= 0),
    -- Not offered to the policy before this time; why; and the policy generation whose word it is.
    cleanup_wait_until      INTEGER CHECK (cleanup_wait_until >= 0),
    cleanup_wait_reason     TEXT,
    cleanup_wait_generation TEXT,
    -- Cleanups that failed in a row.
    cleanup_failed_attempts INTEGER NOT NULL DEFAULT 0 CHECK (cleanup_failed_attempts >= 0),
    -- Taken out of the sweep after too many failures, until unparked.
    cleanup_parked_at       INTEGER CHECK (cleanup_parked_at >= 0),
    cleanup_park_reason     TEXT,
    -- An operator's order to leave it alone; in force while the reason is there and the time has not come.
    cleanup_hold_until      INTEGER CHECK (cleanup_hold_until >= 0),
    cleanup_hold_reason     TEXT,
    cleanup_hold_actor      TEXT
) STRICT;

-- The walk over an engine's due rows: first those without a wait, then those whose wait is over. Rows that wait or
-- are parked are beyond the end of either walk, however many there are.
CREATE INDEX runtime_records_due_fresh ON runtime_records (engine, stopped_at, game_id)
    WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL;
CREATE INDEX runtime_records_due_waited ON runtime_records (engine, cleanup_wait_until, game_id, stopped_at)
    WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL;
-- Claims of walks: those that are to be released, or whose host has died.
CREATE INDEX runtime_records_claimed ON runtime_records (claimed_until, engine) WHERE claimed_until IS NOT NULL;
-- The breaker's count, and those that it leaves out.
CREATE INDEX runtime_records_not_removed ON runtime_records (engine) WHERE status <> 'removed';
CREATE INDEX runtime_records_held ON runtime_records (engine, stopped_at, cleanup_hold_until, cleanup_wait_until)
    WHERE cleanup_hold_reason IS NOT NULL AND status = 'stopped' AND cleanup_parked_at IS NULL;
-- Voiding the waits of an older policy generation.
CREATE INDEX runtime_records_generation ON runtime_records (tenant, cleanup_wait_generation)
    WHERE cleanup_wait_generation IS NOT NULL;
CREATE INDEX runtime_records_tenant ON runtime_records (tenant, game_id);
-- Lists, and the reconciler's walk over what runs and what is stopped on an engine.
CREATE INDEX runtime_records_status ON runtime_records (engine, status, game_id);
-- A container belongs to one game.
CREATE UNIQUE INDEX runtime_records_container ON runtime_records (current_container_id)
    WHERE current_container_id IS NOT NULL;

-- Every change of a record to 'removed': final for its container, so that rows are never deleted; and counted by
-- the breaker.
CREATE TABLE runtime_removals (
    id           INTEGER PRIMARY KEY,
    game_id      TEXT    NOT NULL,
    engine       TEXT    NOT NULL,
    -- NULL if the record had none.
    container_id TEXT,
    removed_at   INTEGER NOT NULL,
    -- The walk that had claimed the record; NULL if none had.
    walk         TEXT
) STRICT;
CREATE UNIQUE INDEX runtime_removals_container ON runtime_removals (container_id) WHERE container_id IS NOT NULL;
CREATE INDEX runtime_removals_engine ON runtime_removals (engine, removed_at, walk);

-- What a direct writer of a new row left open.
CREATE TRIGGER runtime_records_inserted AFTER INSERT ON runtime_records
WHEN NEW.status = 'stopped' AND NEW.stopped_at IS NULL
BEGIN
    UPDATE runtime_records SET stopped_at = NEW.last_op_at WHERE game_id = NEW.game_id;
END;

-- What a direct writer of a change left open. rtmanager's own statements raise `own_version` and leave nothing
-- open, so that this does not run for them.
--
-- A stop, a new container or a new start without a new stop time counts from now: an old time would make the row
-- due at once.
CREATE TRIGGER runtime_records_updated AFTER UPDATE OF
    tenant, engine, status, current_container_id, current_image_ref, labels,
    created_at, started_at, stopped_at, removed_at ON runtime_records
WHEN NEW.own_version = OLD.own_version AND (
    NEW.tenant <> OLD.tenant OR NEW.engine <> OLD.engine OR NEW.status <> OLD.status
    OR NEW.current_container_id IS NOT OLD.current_container_id
    OR NEW.current_image_ref IS NOT OLD.current_image_ref
    OR NEW.labels <> OLD.labels OR NEW.created_at <> OLD.created_at
    OR NEW.started_at IS NOT OLD.started_at OR NEW.stopped_at IS NOT OLD.stopped_at
    OR NEW.removed_at IS NOT OLD.removed_at)
BEGIN
    UPDATE runtime_records SET
        version = OLD.version + max(1, NEW.version - OLD.version),
        stopped_at = CASE
            WHEN NEW.status = 'stopped' AND (NEW.stopped_at IS NULL
                OR (NEW.stopped_at IS OLD.stopped_at AND (OLD.status <> 'stopped'
                    OR NEW.current_container_id IS NOT OLD.current_container_id
                    OR NEW.started_at IS NOT OLD.started_at)))
            THEN CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000
            ELSE NEW.stopped_at END,
        removed_at = CASE
            WHEN NEW.status <> 'removed' THEN NULL
            WHEN NEW.removed_at IS NULL OR (OLD.status <> 'removed' AND NEW.removed_at IS OLD.removed_at)
            THEN CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000
            ELSE NEW.removed_at END,
        current_container_id = CASE WHEN NEW.status = 'removed' THEN NULL ELSE NEW.current_container_id END,
        last_op_at = CASE
            WHEN NEW.status <> OLD.status AND NEW.last_op_at = OLD.last_op_at
            THEN CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000
            ELSE NEW.last_op_at END
    WHERE game_id = NEW.game_id;
    -- A policy's wait is its word about the record as it was.
    UPDATE runtime_records SET
        cleanup_wait_until = NULL, cleanup_wait_reason = NULL, cleanup_wait_generation = NULL
    WHERE game_id = NEW.game_id AND cleanup_wait_generation IS NOT NULL;
    -- What was decided about an earlier stop or container says nothing about this one. A hold stays.
    UPDATE runtime_records SET
        cleanup_wait_until = NULL, cleanup_wait_reason = NULL, cleanup_wait_generation = NULL,
        cleanup_failed_attempts = 0, cleanup_parked_at = NULL, cleanup_park_reason = NULL
    WHERE game_id = NEW.game_id
        AND (status <> OLD.status
            OR current_container_id IS NOT OLD.current_container_id
            OR stopped_at IS NOT OLD.stopped_at);
END;

CREATE TRIGGER runtime_records_removed AFTER UPDATE OF status ON runtime_records
WHEN NEW.status = 'removed' AND OLD.status <> 'removed'
BEGIN
    INSERT INTO runtime_removals (game_id, engine, container_id, removed_at, walk)
    SELECT NEW.game_id, NEW.engine, coalesce(NEW.current_container_id, OLD.current_container_id),
        CASE WHEN NEW.removed_at IS OLD.removed_at
            THEN CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000
            ELSE coalesce(NEW.removed_at, NEW.last_op_at) END,
        OLD.claimed_by
    WHERE NOT EXISTS (
        SELECT 1 FROM runtime_removals
        WHERE container_id = coalesce(NEW.current_container_id, OLD.current_container_id));
END;

-- One row for each run that has begun and has no entry yet: under way, or left behind by a host that died.
CREATE TABLE run_intents (
    -- Grows; never used again.
    fence         INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id        TEXT    NOT NULL UNIQUE,
    game_id       TEXT    NOT NULL,
    op_source     TEXT    NOT NULL,
    source_ref    TEXT    NOT NULL,
    actor         TEXT,
    policy_generation TEXT NOT NULL,
    policy_digest TEXT    NOT NULL,
    started_at    INTEGER NOT NULL,
    -- When the run's lease ends unless it is renewed.
    expires_at    INTEGER NOT NULL,
    -- The record as the run began.
    tenant        TEXT    NOT NULL,
    engine        TEXT    NOT NULL,
    container_id  TEXT,
    image_ref     TEXT,
    -- When the run changed the record, in the same transaction; NULL if it has not.
    committed_at  INTEGER
) STRICT;
CREATE INDEX run_intents_expires ON run_intents (expires_at, fence);

CREATE TRIGGER runtime_records_committed AFTER UPDATE OF last_run_id ON runtime_records
BEGIN
    UPDATE run_intents SET committed_at = NEW.last_op_at WHERE run_id = NEW.last_run_id;
END;

-- One row for each run: what was asked, what was done, and who says so.
CREATE TABLE operation_log (
    -- Grows; never used again.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id        TEXT    NOT NULL UNIQUE,
    -- As received, bounded: a refused request is logged too.
    game_id       TEXT    NOT NULL,
    tenant        TEXT,
    -- 'cleanup_container'
    op_kind       TEXT    NOT NULL,
    -- 'admin_rest', 'auto_ttl', 'cli', 'reconciler', or what was received.
    op_source     TEXT    NOT NULL,
    -- The asking side's reference; empty for 'auto_ttl'.
    source_ref    TEXT    NOT NULL,
    -- Who was authenticated.
    actor         TEXT,
    image_ref     TEXT,
    container_id  TEXT,
    outcome       TEXT    NOT NULL CHECK (outcome IN ('success', 'failure')),
    error_code    TEXT,
    error_message TEXT,
    -- Before validation, and when the row was written.
    started_at    INTEGER NOT NULL,
    finished_at   INTEGER NOT NULL,
    -- The policy that ran: the generation that bound it, such as 'acme/7', and the SHA-256 of its component.
    policy_generation TEXT NOT NULL,
    policy_digest TEXT    NOT NULL,
    -- The fence of the run; NULL if it never read its record under a lease.
    fence         INTEGER,
    -- 'policy'; 'host' if the policy gave no account; 'recovery' if the run's host died.
    author        TEXT    NOT NULL CHECK (author IN ('policy', 'host', 'recovery')),
    -- What the host found wrong, beside the policy's account. Such a run has failed, whatever `outcome` says.
    fault_code    TEXT,
    fault_message TEXT
) STRICT;
CREATE INDEX operation_log_game ON operation_log (game_id, id);
CREATE INDEX operation_log_tenant ON operation_log (tenant, id) WHERE tenant IS NOT NULL;
CREATE INDEX operation_log_finished ON operation_log (finished_at, id);
CREATE INDEX operation_log_failures ON operation_log (id) WHERE outcome = 'failure' OR fault_code IS NOT NULL;

-- A run's entry closes it. Also one that was there already, which appending again rewrites as it is.
CREATE TRIGGER operation_log_appended AFTER INSERT ON operation_log
BEGIN
    DELETE FROM run_intents WHERE run_id = NEW.run_id;
END;
CREATE TRIGGER operation_log_appended_again AFTER UPDATE OF run_id ON operation_log
BEGIN
    DELETE FROM run_intents WHERE run_id = NEW.run_id;
END;

-- One row for each lease that is held, or that nobody gave back.
CREATE TABLE leases (
    game_id    TEXT    NOT NULL PRIMARY KEY,
    -- The holder's secret.
    token      TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_expires ON leases (expires_at);

-- The pauses in force.
CREATE TABLE pauses (
    scope      TEXT    NOT NULL CHECK (scope IN ('global', 'engine', 'tenant')),
    -- The engine or tenant; empty for 'global'.
    name       TEXT    NOT NULL,
    cause      TEXT    NOT NULL CHECK (cause IN ('operator', 'breaker', 'clock_jump')),
    -- How many removals resuming from the breaker allows.
    removals   INTEGER NOT NULL DEFAULT 0,
    reason     TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    paused_at  INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

-- Removals that operators allowed beyond the breaker's limit.
CREATE TABLE breaker_allowances (
    id         INTEGER PRIMARY KEY,
    engine     TEXT    NOT NULL,
    removals   INTEGER NOT NULL,
    allowed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX breaker_allowances_engine ON breaker_allowances (engine, allowed_at);

-- Who can use these tables: programs that know the migration of this number, or a later one. A migration that older
-- programs cannot live with raises it, and they refuse to start; until then, they run beside newer ones.
CREATE TABLE schema_compatibility (
    -- There is one row.
    singleton    INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (singleton = 1),
    usable_since INTEGER NOT NULL
) STRICT;
INSERT INTO schema_compatibility (usable_since) VALUES (1);
