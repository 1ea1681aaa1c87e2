-- What several may call by the same name, ceilings by when they changed, and what a generation's policy is called. All of
-- it is rtmanager's own: read it, never write it. A program of the version before writes the tables of 0002 alone; the
-- triggers carry over what it writes. Times are microseconds since the Unix epoch, UTC.

-- Names of components: the same one may have several, of several owners, which do not know of one another. `policies` has
-- of each component the name that it was first pushed under.
CREATE TABLE policy_names (
    -- The tenant whose it is; empty for the platform's.
    owner     TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    version   TEXT    NOT NULL,
    digest    TEXT    NOT NULL REFERENCES policies (digest),
    size      INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    pushed_by TEXT    NOT NULL,
    PRIMARY KEY (owner, name, version)
) STRICT;
CREATE INDEX policy_names_name ON policy_names (name);
CREATE INDEX policy_names_digest ON policy_names (digest);
INSERT INTO policy_names (owner, name, version, digest, size, pushed_at, pushed_by)
    SELECT owner, name, version, digest, size, pushed_at, pushed_by FROM policies;
CREATE TRIGGER policies_named AFTER INSERT ON policies BEGIN
    INSERT INTO policy_names (owner, name, version, digest, size, pushed_at, pushed_by)
        VALUES (NEW.owner, NEW.name, NEW.version, NEW.digest, NEW.size, NEW.pushed_at, NEW.pushed_by);
END;

-- DSSE envelopes, as received, of an owner's component.
CREATE TABLE policy_vouchers (
    id       INTEGER PRIMARY KEY,
    owner    TEXT NOT NULL,
    digest   TEXT NOT NULL REFERENCES policies (digest),
    envelope TEXT NOT NULL,
    -- Its SHA-256.
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    UNIQUE (owner, digest, hash)
) STRICT;
INSERT INTO policy_vouchers (owner, digest, envelope, hash)
    SELECT p.owner, s.digest, s.envelope, s.hash FROM policy_signatures s JOIN policies p ON p.digest = s.digest
    ORDER BY s.id;
CREATE TRIGGER policy_signatures_vouched AFTER INSERT ON policy_signatures BEGIN
    INSERT INTO policy_vouchers (owner, digest, envelope, hash)
        SELECT p.owner, NEW.digest, NEW.envelope, NEW.hash FROM policies p WHERE p.digest = NEW.digest
            AND NOT EXISTS (SELECT 1 FROM policy_vouchers v
                WHERE v.owner = p.owner AND v.digest = p.digest AND v.hash = NEW.hash);
END;

-- What the component was called when it was bound; NULL in rows of the version before.
ALTER TABLE policy_generations ADD COLUMN name TEXT;
ALTER TABLE policy_generations ADD COLUMN version TEXT;

-- The epoch in which a scope's ceiling was last set or taken away.
CREATE TABLE policy_ceiling_changes (
    scope   TEXT    NOT NULL PRIMARY KEY,
    changed INTEGER NOT NULL
) STRICT;
CREATE INDEX policy_ceiling_changes_changed ON policy_ceiling_changes (changed);
INSERT INTO policy_ceiling_changes (scope, changed) SELECT scope, epoch FROM policy_ceilings, policy_epoch;
-- Whoever changes a ceiling raises the epoch afterwards, in the same transaction.
CREATE TRIGGER policy_ceilings_inserted AFTER INSERT ON policy_ceilings BEGIN
    DELETE FROM policy_ceiling_changes WHERE scope = NEW.scope;
    INSERT INTO policy_ceiling_changes (scope, changed) SELECT NEW.scope, epoch + 1 FROM policy_epoch;
END;
CREATE TRIGGER policy_ceilings_updated AFTER UPDATE ON policy_ceilings BEGIN
    DELETE FROM policy_ceiling_changes WHERE scope = NEW.scope;
    INSERT INTO policy_ceiling_changes (scope, changed) SELECT NEW.scope, epoch + 1 FROM policy_epoch;
END;
CREATE TRIGGER policy_ceilings_deleted AFTER DELETE ON policy_ceilings BEGIN
    DELETE FROM policy_ceiling_changes WHERE scope = OLD.scope;
    INSERT INTO policy_ceiling_changes (scope, changed) SELECT OLD.scope, epoch + 1 FROM policy_epoch;
END;

-- For those who prune.
CREATE INDEX policy_divergences_at ON policy_divergences (at);
CREATE INDEX policy_history_to ON policy_history (scope, to_generation);
