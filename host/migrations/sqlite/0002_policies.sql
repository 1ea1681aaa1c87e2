-- Policies, what binds them to tenants, and who may do that. All of it is rtmanager's own: read it, never write it.
-- Times are microseconds since the Unix epoch, UTC.

-- Components. What is under a digest never changes.
CREATE TABLE policies (
    -- The SHA-256 of the component.
    digest    TEXT    NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    name      TEXT    NOT NULL,
    version   TEXT    NOT NULL,
    -- The tenant whose it is; empty for the platform's.
    owner     TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    pushed_by TEXT    NOT NULL,
    UNIQUE (owner, name, version)
) STRICT;
CREATE INDEX policies_name ON policies (name);
CREATE TABLE policy_components (
    digest    TEXT NOT NULL PRIMARY KEY REFERENCES policies (digest),
    component BLOB NOT NULL
) STRICT;
-- DSSE envelopes, as received.
CREATE TABLE policy_signatures (
    id       INTEGER PRIMARY KEY,
    digest   TEXT NOT NULL REFERENCES policies (digest),
    envelope TEXT NOT NULL,
    -- Its SHA-256: an envelope is too long to be in an index.
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    UNIQUE (digest, hash)
) STRICT;

-- Whom a binding serves: a tenant, or '*' for tenants without a binding of their own.
CREATE TABLE policy_scopes (
    scope            TEXT    NOT NULL PRIMARY KEY,
    -- The generation that serves it; NULL if it has none of its own.
    current          INTEGER,
    last_generation  INTEGER NOT NULL DEFAULT 0,
    -- The rollout under way; all NULL if there is none.
    rollout          INTEGER,
    -- For these of 10,000 games; NULL for a shadow.
    rollout_myriad   INTEGER CHECK (rollout_myriad BETWEEN 1 AND 10000),
    clean_runs       INTEGER,
    promote_at       INTEGER,
    stop_on_divergence INTEGER NOT NULL DEFAULT 0,
    rollout_at       INTEGER,
    rollout_by       TEXT,
    rollout_reason   TEXT,
    runs             INTEGER NOT NULL DEFAULT 0,
    faults           INTEGER NOT NULL DEFAULT 0,
    divergences      INTEGER NOT NULL DEFAULT 0,
    -- The epoch of its last change.
    changed          INTEGER NOT NULL
) STRICT;
CREATE INDEX policy_scopes_changed ON policy_scopes (changed);

-- What a scope is, was or may be bound to. Rows never change.
CREATE TABLE policy_generations (
    scope     TEXT    NOT NULL,
    number    INTEGER NOT NULL CHECK (number >= 1),
    digest    TEXT    NOT NULL REFERENCES policies (digest),
    -- JSON objects of texts, and of numbers; a JSON array of texts.
    settings  TEXT    NOT NULL CHECK (json_valid(settings)),
    limits    TEXT    NOT NULL CHECK (json_valid(limits)),
    grants    TEXT    NOT NULL CHECK (json_valid(grants)),
    staged_at INTEGER NOT NULL,
    staged_by TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    PRIMARY KEY (scope, number)
) STRICT;
CREATE INDEX policy_generations_digest ON policy_generations (digest);

-- Who swapped what, when and why.
CREATE TABLE policy_history (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    scope           TEXT    NOT NULL,
    -- 'bound', 'rolled_back', 'rollout_started', 'promoted', 'rollout_ended', 'revoked', 'unbound'
    event           TEXT    NOT NULL,
    from_generation INTEGER,
    to_generation   INTEGER,
    at              INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    reason          TEXT    NOT NULL
) STRICT;
CREATE INDEX policy_history_scope ON policy_history (scope, id);

-- Generations ('acme/7') and components (by digest) that may have no effect any more.
CREATE TABLE policy_revocations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT    NOT NULL UNIQUE,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    reason  TEXT    NOT NULL
) STRICT;

-- How runs of a shadow differed from those that they stood beside.
CREATE TABLE policy_divergences (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    scope      TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    game_id    TEXT    NOT NULL,
    run_id     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    current    TEXT    NOT NULL,
    candidate  TEXT    NOT NULL,
    at         INTEGER NOT NULL
) STRICT;
CREATE INDEX policy_divergences_generation ON policy_divergences (scope, generation, id);

-- The highest version of a policy that was ever current in a scope.
CREATE TABLE policy_marks (
    scope   TEXT NOT NULL,
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

-- What each host serves each scope with, and what keeps it from serving what it should.
CREATE TABLE policy_serving (
    replica    TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    generation TEXT    NOT NULL,
    -- A JSON array of numbers: the generations beside it that are loaded.
    ready      TEXT    NOT NULL,
    problem    TEXT,
    at         INTEGER NOT NULL,
    PRIMARY KEY (replica, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX policy_serving_scope ON policy_serving (scope, at);
CREATE INDEX policy_serving_at ON policy_serving (at);

-- Grows with every change above that hosts need to know of.
CREATE TABLE policy_epoch (
    singleton INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (singleton = 1),
    epoch     INTEGER NOT NULL
) STRICT;
INSERT INTO policy_epoch (epoch) VALUES (0);

-- What an admin allows in a scope.
CREATE TABLE policy_ceilings (
    scope              TEXT    NOT NULL PRIMARY KEY,
    limits             TEXT    NOT NULL CHECK (json_valid(limits)),
    -- NULL for all there is.
    grants             TEXT    CHECK (json_valid(grants)),
    signature_required INTEGER NOT NULL,
    retention_days     INTEGER NOT NULL
) STRICT;

-- Keys whose signatures a scope trusts.
CREATE TABLE policy_keys (
    scope      TEXT    NOT NULL,
    -- The SHA-256 of the key.
    id         TEXT    NOT NULL,
    public_key TEXT    NOT NULL,
    added_at   INTEGER NOT NULL,
    added_by   TEXT    NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (scope, id)
) STRICT;

-- Bearer tokens of the REST interface, by their hashes.
CREATE TABLE api_tokens (
    name       TEXT    NOT NULL PRIMARY KEY,
    -- The SHA-256 of the secret.
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- 'admin', 'operator', 'viewer', 'tenant'
    role       TEXT    NOT NULL,
    tenant     TEXT    CHECK ((role = 'tenant') = (tenant IS NOT NULL)),
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- What admins and operators did: a chain, in which each row's hash covers the row before.
CREATE TABLE audit_log (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    role     TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    previous BLOB    NOT NULL CHECK (length(previous) = 32),
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
