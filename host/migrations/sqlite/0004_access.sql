-- When a token was last shown, to within some minutes: what is never used can be revoked. Versions before this one leave
-- it as it is.
ALTER TABLE api_tokens ADD COLUMN last_used_at INTEGER;
