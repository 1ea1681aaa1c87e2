-- The tables of one rtmanager database, in the first schema of the search path. PostgreSQL 13 or later, UTF-8.
--
-- Platforms read and write `runtime_records` and read `operation_log`. The other tables, and the columns
-- named cleanup_*, claimed_*, own_version, fence and last_run_id, are rtmanager's own: read them, never write them.
-- A platform's role needs SELECT, INSERT and UPDATE on `runtime_records`, SELECT on `operation_log`, and USAGE on
-- the schema: the triggers do the rest with the rights of the tables' owner.
--
-- Writing `runtime_records` directly:
--   * Use INSERT, UPDATE, or INSERT … ON CONFLICT (game_id) DO UPDATE. Do not delete rows: that would drop a hold.
--   * `version` need not be known: the triggers below raise it.
--   * Times may be left alone: the triggers set `stopped_at` on a stop (and when a stopped row gets another
--     container or `started_at`), `removed_at` on a removal and `last_op_at` on a change of status, unless the
--     same statement changes them.
--   * A row that passes the constraints but is still wrong (a tenant with a space in it, a label that is
--     no text) is reported for its own game and passed over by lists and by the sweeper.
--   * Keep transactions short: a cleanup of a game waits for whoever has its row.
--
-- Changes to these tables are additions only, so that hosts of neighbouring versions run on one database; see
-- `schema_compatibility` at the end. deploy/from_original.sql fills them from the tables of the original service.

-- One row for each game: what the platform knows about its runtime.
CREATE TABLE runtime_records (
    -- The game, 1 to 256 bytes, platform-wide. Names are ordered by their bytes, whatever the database's locale.
    game_id              text COLLATE "C" NOT NULL PRIMARY KEY CHECK (octet_length(game_id) BETWEEN 1 AND 256),
    -- Whose game it is; a game never changes its tenant.
    tenant               text COLLATE "C" NOT NULL DEFAULT 'default' CHECK (tenant <> ''),
    -- The configured name of the container engine that runs it.
    engine               text COLLATE "C" NOT NULL CHECK (engine <> ''),
    -- 'running', 'stopped', 'removed', or a word of the platform's own.
    status               text COLLATE "C" NOT NULL CHECK (status <> ''),
    -- The full id, 64 lower-case hexadecimal digits; NULL if there is no container (any more).
    current_container_id text COLLATE "C" CHECK (current_container_id ~ '^[0-9a-f]{64}$'),
    -- The image reference that the container was started from.
    current_image_ref    text,
    -- A JSON object of texts.
    labels               jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    created_at           timestamptz NOT NULL DEFAULT now() CHECK (isfinite(created_at) AND created_at >= 'epoch'),
    started_at           timestamptz CHECK (isfinite(started_at) AND started_at >= 'epoch'),
    -- When the platform stopped it. Retention counts from here.
    stopped_at           timestamptz CHECK (isfinite(stopped_at) AND stopped_at >= 'epoch'),
    removed_at           timestamptz CHECK (isfinite(removed_at) AND removed_at >= 'epoch'),
    -- The last operation of any kind.
    last_op_at           timestamptz NOT NULL DEFAULT now() CHECK (isfinite(last_op_at) AND last_op_at >= 'epoch'),
    -- Grows with every change of the columns above but last_op_at alone.
    version              bigint      NOT NULL DEFAULT 1 CHECK (version >= 1),

    -- rtmanager's own, from here on.
    -- The version that rtmanager itself wrote last, by which the triggers tell its changes from others'.
    own_version             bigint NOT NULL DEFAULT 0,
    -- The latest fence that a run on the game began with, and the run that changed the status last.
    fence                   bigint NOT NULL DEFAULT 0 CHECK (fence >= 0),
    last_run_id             text,
    -- The walk that is about to offer it, and when that claim ends by itself.
    claimed_by              text COLLATE "C",
    claimed_until           timestamptz,
    -- Not offered to the policy before this time; why; and the policy generation whose word it is.
    cleanup_wait_until      timestamptz CHECK (isfinite(cleanup_wait_until) AND cleanup_wait_until >= 'epoch'),
    cleanup_wait_reason     text,
    cleanup_wait_generation text COLLATE "C",
    -- Cleanups that failed in a row.
    cleanup_failed_attempts bigint NOT NULL DEFAULT 0 CHECK (cleanup_failed_attempts BETWEEN 0 AND 4294967295),
    -- Taken out of the sweep after too many failures, until unparked.
    cleanup_parked_at       timestamptz CHECK (isfinite(cleanup_parked_at) AND cleanup_parked_at >= 'epoch'),
    cleanup_park_reason     text,
    -- An operator's order to leave it alone; in force while the reason is there and the time has not come.
    cleanup_hold_until      timestamptz CHECK (isfinite(cleanup_hold_until) AND cleanup_hold_until >= 'epoch'),
    cleanup_hold_reason     text,
    cleanup_hold_actor      text
)
-- Room on each page for the change of `fence` that every run makes: no index has that column, so it costs none.
WITH (fillfactor = 85);

-- The walk over an engine's due rows: first those without a wait, then those whose wait is over. Rows that wait or
-- are parked are beyond the end of either walk, however many there are.
CREATE INDEX runtime_records_due_fresh ON runtime_records (engine, stopped_at, game_id)
    WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL;
CREATE INDEX runtime_records_due_waited ON runtime_records (engine, cleanup_wait_until, game_id, stopped_at)
    WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL;
-- The breaker's count, and those that it leaves out.
CREATE INDEX runtime_records_not_removed ON runtime_records (engine) WHERE status <> 'removed';
CREATE INDEX runtime_records_held ON runtime_records (engine)
    WHERE cleanup_hold_reason IS NOT NULL AND status = 'stopped' AND cleanup_parked_at IS NULL;
-- The claims of walks under way, and of hosts that died.
CREATE INDEX runtime_records_claimed ON runtime_records (engine, claimed_until) WHERE claimed_until IS NOT NULL;
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
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    game_id      text COLLATE "C" NOT NULL,
    engine       text COLLATE "C" NOT NULL,
    -- NULL if the record had none.
    container_id text COLLATE "C",
    removed_at   timestamptz NOT NULL,
    -- The walk that had claimed the record; NULL if none had.
    walk         text COLLATE "C"
);
CREATE UNIQUE INDEX runtime_removals_container ON runtime_removals (container_id) WHERE container_id IS NOT NULL;
CREATE INDEX runtime_removals_engine ON runtime_removals (engine, removed_at, walk);

-- What a direct writer of a new row left open.
CREATE FUNCTION runtime_records_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.stopped_at := NEW.last_op_at;
    RETURN NEW;
END $$;
CREATE TRIGGER runtime_records_inserted BEFORE INSERT ON runtime_records FOR EACH ROW
WHEN (NEW.status = 'stopped' AND NEW.stopped_at IS NULL)
EXECUTE FUNCTION runtime_records_inserted();

-- Fires before the next one, by its name, so that it sees the container that the writer names.
CREATE FUNCTION runtime_records_removed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO runtime_removals (game_id, engine, container_id, removed_at, walk)
    VALUES (NEW.game_id, NEW.engine, coalesce(NEW.current_container_id, OLD.current_container_id),
        CASE WHEN NEW.removed_at IS NOT DISTINCT FROM OLD.removed_at THEN statement_timestamp()
            ELSE coalesce(NEW.removed_at, NEW.last_op_at) END,
        OLD.claimed_by)
    ON CONFLICT (container_id) WHERE container_id IS NOT NULL DO NOTHING;
    RETURN NEW;
END $$;
CREATE TRIGGER runtime_records_removed BEFORE UPDATE OF status ON runtime_records FOR EACH ROW
WHEN (NEW.status = 'removed' AND OLD.status <> 'removed')
EXECUTE FUNCTION runtime_records_removed();

-- What a direct writer of a change left open. rtmanager's own statements raise `own_version` and leave nothing
-- open, so that this does not run for them.
--
-- A stop, a new container or a new start without a new stop time counts from now: an old time would make the row
-- due at once.
CREATE FUNCTION runtime_records_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + greatest(1, NEW.version - OLD.version);
    IF NEW.status = 'stopped' AND (NEW.stopped_at IS NULL
        OR (NEW.stopped_at = OLD.stopped_at AND (OLD.status <> 'stopped'
            OR NEW.current_container_id IS DISTINCT FROM OLD.current_container_id
            OR NEW.started_at IS DISTINCT FROM OLD.started_at)))
    THEN
        NEW.stopped_at := statement_timestamp();
    END IF;
    IF NEW.status <> 'removed' THEN
        NEW.removed_at := NULL;
    ELSE
        IF NEW.removed_at IS NULL OR (OLD.status <> 'removed' AND NEW.removed_at = OLD.removed_at) THEN
            NEW.removed_at := statement_timestamp();
        END IF;
        NEW.current_container_id := NULL;
    END IF;
    IF NEW.status <> OLD.status AND NEW.last_op_at = OLD.last_op_at THEN
        NEW.last_op_at := statement_timestamp();
    END IF;
    -- A policy's wait is its word about the record as it was.
    IF OLD.cleanup_wait_generation IS NOT NULL THEN
        NEW.cleanup_wait_until := NULL;
        NEW.cleanup_wait_reason := NULL;
        NEW.cleanup_wait_generation := NULL;
    END IF;
    -- What was decided about an earlier stop or container says nothing about this one. A hold stays.
    IF NEW.status <> OLD.status OR NEW.stopped_at IS DISTINCT FROM OLD.stopped_at
        OR NEW.current_container_id IS DISTINCT FROM OLD.current_container_id
    THEN
        NEW.cleanup_wait_until := NULL;
        NEW.cleanup_wait_reason := NULL;
        NEW.cleanup_wait_generation := NULL;
        NEW.cleanup_failed_attempts := 0;
        NEW.cleanup_parked_at := NULL;
        NEW.cleanup_park_reason := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER runtime_records_updated BEFORE UPDATE OF
    tenant, engine, status, current_container_id, current_image_ref, labels,
    created_at, started_at, stopped_at, removed_at ON runtime_records FOR EACH ROW
WHEN (NEW.own_version = OLD.own_version AND (
    NEW.tenant <> OLD.tenant OR NEW.engine <> OLD.engine OR NEW.status <> OLD.status
    OR NEW.current_container_id IS DISTINCT FROM OLD.current_container_id
    OR NEW.current_image_ref IS DISTINCT FROM OLD.current_image_ref
    OR NEW.labels <> OLD.labels OR NEW.created_at <> OLD.created_at
    OR NEW.started_at IS DISTINCT FROM OLD.started_at OR NEW.stopped_at IS DISTINCT FROM OLD.stopped_at
    OR NEW.removed_at IS DISTINCT FROM OLD.removed_at))
EXECUTE FUNCTION runtime_records_updated();

-- The triggers find the tables whatever the writer's search path, and nothing that the writer put before them.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION runtime_records_removed() SET search_path = %I, pg_temp', current_schema());
END $$;

-- One row for each run: what was asked, what was done, and who says so.
CREATE TABLE operation_log (
    -- Grows; never used again. Ids are given out before they are committed, so that of two entries written at the
    -- same time the later id may be seen first.
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id        text COLLATE "C" NOT NULL UNIQUE,
    -- As received, bounded: a refused request is logged too. PostgreSQL has no NUL: U+FFFD stands for it here and
    -- in all texts below.
    game_id       text COLLATE "C" NOT NULL,
    tenant        text COLLATE "C",
    -- 'cleanup_container'
    op_kind       text NOT NULL,
    -- 'admin_rest', 'auto_ttl', 'cli', 'reconciler', or what was received.
    op_source     text NOT NULL,
    -- The asking side's reference; empty for 'auto_ttl'.
    source_ref    text NOT NULL,
    -- Who was authenticated.
    actor         text,
    image_ref     text,
    container_id  text,
    outcome       text NOT NULL CHECK (outcome IN ('success', 'failure')),
    error_code    text,
    error_message text,
    -- Before validation, and when the row was written.
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz NOT NULL,
    -- The policy that ran: the generation that bound it, such as 'acme/7', and the SHA-256 of its component.
    policy_generation text NOT NULL,
    policy_digest text NOT NULL,
    -- The fence that the run began with; NULL if it never read its record under a lease.
    fence         bigint,
    -- 'policy'; 'host' if the policy gave no account; 'recovery' if the run's host died.
    author        text NOT NULL CHECK (author IN ('policy', 'host', 'recovery')),
    -- What the host found wrong, beside the policy's account. Such a run has failed, whatever `outcome` says.
    fault_code    text,
    fault_message text
);
CREATE INDEX operation_log_game ON operation_log (game_id, id);
CREATE INDEX operation_log_tenant ON operation_log (tenant, id) WHERE tenant IS NOT NULL;
CREATE INDEX operation_log_finished ON operation_log (finished_at, id);
CREATE INDEX operation_log_failures ON operation_log (id) WHERE outcome = 'failure' OR fault_code IS NOT NULL;

-- The fences of runs. They grow over all games, and are never given out twice.
CREATE SEQUENCE run_fences AS bigint MINVALUE 1;

-- One row for each run that has begun and has no entry in the log yet: it is under way, or its host died.
CREATE TABLE run_intents (
    run_id        text COLLATE "C" NOT NULL PRIMARY KEY,
    game_id       text COLLATE "C" NOT NULL,
    -- The record's as the run began.
    tenant        text COLLATE "C" NOT NULL,
    engine        text COLLATE "C" NOT NULL,
    container_id  text,
    image_ref     text,
    op_source     text NOT NULL,
    source_ref    text NOT NULL,
    actor         text,
    policy_generation text NOT NULL,
    policy_digest text NOT NULL,
    started_at    timestamptz NOT NULL,
    -- When the run's lease ends unless it is renewed.
    expires_at    timestamptz NOT NULL,
    fence         bigint NOT NULL,
    -- When it changed the record; NULL if it has not. Written with the change itself.
    committed_at  timestamptz
)
-- Rows come and go with every run.
WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX run_intents_expires ON run_intents (expires_at, fence);

-- The leases that are held, by the database's clock. Unlogged, since nothing is safe because of them: a crash of the
-- server forgets them, and so does a failover; that costs work done twice, and spares each run two waits for the disk.
CREATE UNLOGGED TABLE leases (
    game_id    text COLLATE "C" NOT NULL PRIMARY KEY,
    -- The holder's secret.
    token      text NOT NULL,
    expires_at timestamptz NOT NULL
)
WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The pauses in force.
CREATE TABLE pauses (
    scope      text NOT NULL CHECK (scope IN ('global', 'engine', 'tenant')),
    -- The engine or tenant; empty for 'global'.
    name       text COLLATE "C" NOT NULL,
    cause      text NOT NULL CHECK (cause IN ('operator', 'breaker', 'clock_jump')),
    -- How many removals resuming from the breaker allows.
    removals   bigint NOT NULL DEFAULT 0,
    reason     text NOT NULL,
    actor      text NOT NULL,
    paused_at  timestamptz NOT NULL,
    PRIMARY KEY (scope, name)
);

-- Removals that operators allowed beyond the breaker's limit.
CREATE TABLE breaker_allowances (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    engine     text COLLATE "C" NOT NULL,
    removals   bigint NOT NULL,
    allowed_at timestamptz NOT NULL
);
CREATE INDEX breaker_allowances_engine ON breaker_allowances (engine, allowed_at);

-- Who can use these tables: programs that know the migration of this number, or a later one. A migration that older
-- programs cannot live with raises it, and they refuse to start; until then, they run beside newer ones.
CREATE TABLE schema_compatibility (
    -- There is one row.
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    usable_since bigint  NOT NULL
);
INSERT INTO schema_compatibility (usable_since) VALUES (1);
