-- What several may call by the same name, ceilings by when they changed, and what a generation's policy is called. All of
-- it is rtmanager's own: read it, never write it. A program of the version before writes the tables of 0002 alone; the
-- triggers carry over what it writes.

-- Names of components: the same one may have several, of several owners, which do not know of one another. `policies` has
-- of each component the name that it was first pushed under.
CREATE TABLE policy_names (
    -- The tenant whose it is; empty for the platform's.
    owner     text COLLATE "C" NOT NULL,
    name      text COLLATE "C" NOT NULL,
    version   text COLLATE "C" NOT NULL,
    digest    text COLLATE "C" NOT NULL REFERENCES policies (digest),
    size      bigint NOT NULL,
    pushed_at timestamptz NOT NULL,
    pushed_by text NOT NULL,
    PRIMARY KEY (owner, name, version)
);
CREATE INDEX policy_names_name ON policy_names (name);
CREATE INDEX policy_names_digest ON policy_names (digest);
INSERT INTO policy_names (owner, name, version, digest, size, pushed_at, pushed_by)
    SELECT owner, name, version, digest, size, pushed_at, pushed_by FROM policies;
CREATE FUNCTION policies_named() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO policy_names (owner, name, version, digest, size, pushed_at, pushed_by)
        VALUES (NEW.owner, NEW.name, NEW.version, NEW.digest, NEW.size, NEW.pushed_at, NEW.pushed_by);
    RETURN NULL;
END $$;
CREATE TRIGGER policies_named AFTER INSERT ON policies FOR EACH ROW EXECUTE FUNCTION policies_named();

-- DSSE envelopes, as received, of an owner's component.
CREATE TABLE policy_vouchers (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner    text COLLATE "C" NOT NULL,
    digest   text COLLATE "C" NOT NULL REFERENCES policies (digest),
    envelope text NOT NULL,
    -- Its SHA-256.
    hash     bytea NOT NULL CHECK (length(hash) = 32),
    UNIQUE (owner, digest, hash)
);
INSERT INTO policy_vouchers (owner, digest, envelope, hash)
    SELECT p.owner, s.digest, s.envelope, s.hash FROM policy_signatures s JOIN policies p ON p.digest = s.digest
    ORDER BY s.id;
CREATE FUNCTION policy_signatures_vouched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO policy_vouchers (owner, digest, envelope, hash)
        SELECT p.owner, NEW.digest, NEW.envelope, NEW.hash FROM policies p WHERE p.digest = NEW.digest
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER policy_signatures_vouched AFTER INSERT ON policy_signatures
    FOR EACH ROW EXECUTE FUNCTION policy_signatures_vouched();

-- What the component was called when it was bound; NULL in rows of the version before.
ALTER TABLE policy_generations ADD COLUMN name text COLLATE "C";
ALTER TABLE policy_generations ADD COLUMN version text COLLATE "C";

-- The epoch in which a scope's ceiling was last set or taken away.
CREATE TABLE policy_ceiling_changes (
    scope   text COLLATE "C" NOT NULL PRIMARY KEY,
    changed bigint NOT NULL
);
CREATE INDEX policy_ceiling_changes_changed ON policy_ceiling_changes (changed);
INSERT INTO policy_ceiling_changes (scope, changed) SELECT scope, epoch FROM policy_ceilings, policy_epoch;
-- Whoever changes a ceiling has raised the epoch in the same transaction.
CREATE FUNCTION policy_ceilings_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO policy_ceiling_changes (scope, changed)
        SELECT CASE TG_OP WHEN 'DELETE' THEN OLD.scope ELSE NEW.scope END, epoch FROM policy_epoch
        ON CONFLICT (scope) DO UPDATE SET changed = excluded.changed;
    RETURN NULL;
END $$;
CREATE TRIGGER policy_ceilings_changed AFTER INSERT OR UPDATE OR DELETE ON policy_ceilings
    FOR EACH ROW EXECUTE FUNCTION policy_ceilings_changed();

-- For those who prune.
CREATE INDEX policy_divergences_at ON policy_divergences (at);
CREATE INDEX policy_history_to ON policy_history (scope, to_generation);
