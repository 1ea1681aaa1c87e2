-- Policies, what binds them to tenants, and who may do that. All of it is rtmanager's own: read it, never write it.

-- Components. What is under a digest never changes.
CREATE TABLE policies (
    -- The SHA-256 of the component.
    digest    text COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    name      text COLLATE "C" NOT NULL,
    version   text COLLATE "C" NOT NULL,
    -- The tenant whose it is; empty for the platform's.
    owner     text COLLATE "C" NOT NULL,
    size      bigint NOT NULL,
    pushed_at timestamptz NOT NULL,
    pushed_by text NOT NULL,
    UNIQUE (owner, name, version)
);
CREATE INDEX policies_name ON policies (name);
CREATE TABLE policy_components (
    digest    text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES policies (digest),
    component bytea NOT NULL
);
-- DSSE envelopes, as received.
CREATE TABLE policy_signatures (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest   text COLLATE "C" NOT NULL REFERENCES policies (digest),
    envelope text NOT NULL,
    -- Its SHA-256: an envelope is too long to be in an index.
    hash     bytea NOT NULL CHECK (length(hash) = 32),
    UNIQUE (digest, hash)
);

-- Whom a binding serves: a tenant, or '*' for tenants without a binding of their own.
CREATE TABLE policy_scopes (
    scope            text COLLATE "C" NOT NULL PRIMARY KEY,
    -- The generation that serves it; NULL if it has none of its own.
    current          bigint,
    last_generation  bigint NOT NULL DEFAULT 0,
    -- The rollout under way; all NULL if there is none.
    rollout          bigint,
    -- For these of 10,000 games; NULL for a shadow.
    rollout_myriad   bigint CHECK (rollout_myriad BETWEEN 1 AND 10000),
    clean_runs       bigint,
    promote_at       timestamptz,
    stop_on_divergence boolean NOT NULL DEFAULT false,
    rollout_at       timestamptz,
    rollout_by       text,
    rollout_reason   text,
    runs             bigint NOT NULL DEFAULT 0,
    faults           bigint NOT NULL DEFAULT 0,
    divergences      bigint NOT NULL DEFAULT 0,
    -- The epoch of its last change.
    changed          bigint NOT NULL
);
CREATE INDEX policy_scopes_changed ON policy_scopes (changed);

-- What a scope is, was or may be bound to. Rows never change.
CREATE TABLE policy_generations (
    scope     text COLLATE "C" NOT NULL,
    number    bigint NOT NULL CHECK (number >= 1),
    digest    text COLLATE "C" NOT NULL REFERENCES policies (digest),
    -- JSON objects of texts, and of numbers; a JSON array of texts.
    settings  json NOT NULL,
    limits    json NOT NULL,
    grants    json NOT NULL,
    staged_at timestamptz NOT NULL,
    staged_by text NOT NULL,
    reason    text NOT NULL,
    PRIMARY KEY (scope, number)
);
CREATE INDEX policy_generations_digest ON policy_generations (digest);

-- Who swapped what, when and why.
CREATE TABLE policy_history (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope           text COLLATE "C" NOT NULL,
    -- 'bound', 'rolled_back', 'rollout_started', 'promoted', 'rollout_ended', 'revoked', 'unbound'
    event           text NOT NULL,
    from_generation bigint,
    to_generation   bigint,
    at              timestamptz NOT NULL,
    actor           text NOT NULL,
    reason          text NOT NULL
);
CREATE INDEX policy_history_scope ON policy_history (scope, id);

-- Generations ('acme/7') and components (by digest) that may have no effect any more.
CREATE TABLE policy_revocations (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text COLLATE "C" NOT NULL UNIQUE,
    at      timestamptz NOT NULL,
    actor   text NOT NULL,
    reason  text NOT NULL
);

-- Refuses a change of a record by what was revoked. To be called after the record is locked and changed, and before that
-- is committed. Whoever revokes takes the table's lock in EXCLUSIVE mode until the revocation is committed: either the
-- revocation waits for the change, or the change sees the revocation, since a statement of a volatile function looks at
-- the table as of its own start. The statement that calls it would look as of the start of its own, which may have been
-- long before it got the record's lock.
CREATE FUNCTION refuse_revoked(generation text, digest text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    LOCK TABLE policy_revocations IN ROW SHARE MODE;
    IF EXISTS (SELECT FROM policy_revocations WHERE subject IN (generation, digest)) THEN
        RAISE EXCEPTION 'the policy was revoked' USING ERRCODE = 'RT001';
    END IF;
    RETURN true;
END $$;

-- How runs of a shadow differed from those that they stood beside.
CREATE TABLE policy_divergences (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope      text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    game_id    text NOT NULL,
    run_id     text NOT NULL,
    kind       text NOT NULL,
    current    text NOT NULL,
    candidate  text NOT NULL,
    at         timestamptz NOT NULL
);
CREATE INDEX policy_divergences_generation ON policy_divergences (scope, generation, id);

-- The highest version of a policy that was ever current in a scope.
CREATE TABLE policy_marks (
    scope   text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, name)
);

-- What each host serves each scope with, and what keeps it from serving what it should.
CREATE TABLE policy_serving (
    replica    text COLLATE "C" NOT NULL,
    scope      text COLLATE "C" NOT NULL,
    generation text COLLATE "C" NOT NULL,
    -- A JSON array of numbers: the generations beside it that are loaded.
    ready      json NOT NULL,
    problem    text,
    at         timestamptz NOT NULL,
    PRIMARY KEY (replica, scope)
);
CREATE INDEX policy_serving_scope ON policy_serving (scope, at);
CREATE INDEX policy_serving_at ON policy_serving (at);

-- Grows with every change above that hosts need to know of.
CREATE TABLE policy_epoch (
    singleton integer NOT NULL PRIMARY KEY DEFAULT 1 CHECK (singleton = 1),
    epoch     bigint NOT NULL
);
INSERT INTO policy_epoch (epoch) VALUES (0);

-- What an admin allows in a scope.
CREATE TABLE policy_ceilings (
    scope              text COLLATE "C" NOT NULL PRIMARY KEY,
    limits             json NOT NULL,
    -- NULL for all there is.
    grants             json,
    signature_required boolean NOT NULL,
    retention_days     bigint NOT NULL
);

-- Keys whose signatures a scope trusts.
CREATE TABLE policy_keys (
    scope      text COLLATE "C" NOT NULL,
    -- The SHA-256 of the key.
    id         text COLLATE "C" NOT NULL,
    public_key text NOT NULL,
    added_at   timestamptz NOT NULL,
    added_by   text NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (scope, id)
);

-- Bearer tokens of the REST interface, by their hashes.
CREATE TABLE api_tokens (
    name       text COLLATE "C" NOT NULL PRIMARY KEY,
    -- The SHA-256 of the secret.
    hash       bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- 'admin', 'operator', 'viewer', 'tenant'
    role       text COLLATE "C" NOT NULL,
    tenant     text COLLATE "C" CHECK ((role = 'tenant') = (tenant IS NOT NULL)),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- What admins and operators did: a chain, in which each row's hash covers the row before.
CREATE TABLE audit_log (
    sequence bigint NOT NULL PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor    text NOT NULL,
    role     text COLLATE "C" NOT NULL,
    action   text NOT NULL,
    subject  text COLLATE "C" NOT NULL,
    detail   text NOT NULL,
    previous bytea NOT NULL CHECK (length(previous) = 32),
    hash     bytea NOT NULL CHECK (length(hash) = 32)
);
