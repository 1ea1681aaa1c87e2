-- Takes the records and the log of the original service over into rtmanager's tables, in the same PostgreSQL database.
--
--   psql -v engine=local -v original=ORIGINAL_SCHEMA -v ON_ERROR_STOP=1 -1 -f from_original.sql
--
-- Let rtmanager make its tables first, stop the original service, run this as the tables' owner, start rtmanager. It
-- may be run again: games and entries that are there already stay as they are. `engine` is the configured name of the
-- Docker Engine, which the original knew by its endpoint only; where there are several, run this once for each,
-- with `-v endpoint=tcp://…`, which takes over that endpoint's rows only.
--
-- What has no counterpart: the original had no tenants, so that all games get the tenant 'default'; its state_path and
-- docker_network become labels; its log does not name the policy, for which stands the digest of zeros.
\if :{?endpoint}
\else
    \set endpoint ''
\endif

INSERT INTO runtime_records (game_id, engine, status, current_container_id, current_image_ref, labels,
    created_at, started_at, stopped_at, removed_at, last_op_at)
SELECT game_id, :'engine',
    -- A container that is known by a name or a shortened id only cannot be removed safely. A status of its own keeps
    -- such a record from the sweep until somebody has looked at it.
    CASE WHEN status IN ('running', 'stopped') AND current_container_id !~ '^([0-9a-f]{64})?$' THEN 'unidentified'
        ELSE status END,
    CASE WHEN status <> 'removed' AND current_container_id ~ '^[0-9a-f]{64}$' THEN current_container_id END,
    nullif(current_image_ref, ''),
    jsonb_strip_nulls(jsonb_build_object(
        'original.container', CASE WHEN current_container_id !~ '^([0-9a-f]{64})?$' THEN current_container_id END,
        'original.engine_endpoint', nullif(engine_endpoint, ''),
        'original.state_path', nullif(state_path, ''),
        'original.docker_network', nullif(docker_network, ''))),
    created_at, started_at,
    -- Retention counts from the stop; where the original did not note it, from its last operation.
    CASE WHEN status = 'stopped' THEN coalesce(stopped_at, last_op_at) ELSE stopped_at END,
    CASE WHEN status = 'removed' THEN coalesce(removed_at, last_op_at) END,
    last_op_at
FROM :"original".runtime_records
WHERE :'endpoint' IN ('', engine_endpoint)
ORDER BY game_id
ON CONFLICT (game_id) DO NOTHING;

INSERT INTO operation_log (run_id, game_id, tenant, op_kind, op_source, source_ref, image_ref, container_id,
    outcome, error_code, error_message, started_at, finished_at, policy_generation, policy_digest, author)
SELECT md5('original ' || id), game_id, 'default', op_kind, op_source, coalesce(source_ref, ''), nullif(image_ref, ''),
    CASE WHEN container_id ~ '^[0-9a-f]{64}$' THEN container_id END,
    CASE WHEN outcome = 'success' THEN 'success' ELSE 'failure' END,
    nullif(error_code, ''), nullif(error_message, ''), started_at, coalesce(finished_at, started_at),
    '*/0', repeat('0', 64), 'host'
FROM :"original".operation_log
ORDER BY id
ON CONFLICT (run_id) DO NOTHING;
