-- API keys: only their SHA-256 is here.

-- name: find_api_key
-- $1 SHA-256 of the token
SELECT id AS key_id, business_id, role FROM api_keys WHERE token_hash = $1 AND revoked_at IS NULL;

-- name: insert_key
-- No row: no such business.  $1 business  $2 name  $3 role  $4 prefix  $5 SHA-256 of the token  $6 who
WITH made AS (
    INSERT INTO api_keys (business_id, name, role, prefix, token_hash)
    SELECT b.id, $2, $3, $4, $5 FROM businesses b WHERE b.id = $1
    RETURNING *
), audited AS (
    INSERT INTO audit_log (business_id, actor, action, details)
    SELECT business_id, $6, 'create_key', jsonb_build_object('key_id', id, 'name', name, 'role', role) FROM made
)
SELECT id AS key_id, business_id, name, role, prefix, created_at, revoked_at FROM made;

-- name: page_of_keys
-- $1 business  $2 after this id, or null  $3 how many
SELECT id AS key_id, business_id, name, role, prefix, created_at, revoked_at
FROM api_keys WHERE business_id = $1 AND id > coalesce($2::bigint, 0) ORDER BY id LIMIT $3;

-- name: revoke_key
-- A row when there is such a key; one that was revoked before keeps its date.  $1 id  $2 who
WITH revoked AS (
    UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id, business_id
), audited AS (
    INSERT INTO audit_log (business_id, actor, action, details)
    SELECT business_id, $2, 'revoke_key', jsonb_build_object('key_id', id) FROM revoked
)
SELECT id AS key_id FROM api_keys WHERE id = $1;
