-- Businesses: the operator's.

-- name: show_business
-- $1 id
SELECT id AS business_id, name, max_concurrent_calls, from_number, default_region, timezone, created_at
FROM businesses WHERE id = $1;

-- name: page_of_businesses
-- $1 after this id, or null  $2 how many
SELECT id AS business_id, name, max_concurrent_calls, from_number, default_region, timezone, created_at
FROM businesses WHERE id > coalesce($1::bigint, 0) ORDER BY id LIMIT $2;

-- name: insert_business
-- $1 name  $2 limit  $3 from number  $4 default region  $5 time zone  $6 who
WITH made AS (
    INSERT INTO businesses (name, max_concurrent_calls, from_number, default_region, timezone)
    VALUES ($1, $2, $3, $4, $5) RETURNING *
), audited AS (
    INSERT INTO audit_log (business_id, actor, action) SELECT id, $6, 'create_business' FROM made
)
SELECT id AS business_id, name, max_concurrent_calls, from_number, default_region, timezone, created_at FROM made;

-- name: change_business
-- Each value with whether it is to be changed.
-- $1 id  $2,$3 name  $4,$5 limit  $6,$7 from number  $8,$9 default region  $10,$11 time zone  $12 who
WITH changed AS (
    UPDATE businesses
    SET name = CASE WHEN $2 THEN $3 ELSE name END,
        max_concurrent_calls = CASE WHEN $4 THEN $5 ELSE max_concurrent_calls END,
        from_number = CASE WHEN $6 THEN $7 ELSE from_number END,
        default_region = CASE WHEN $8 THEN $9 ELSE default_region END,
        timezone = CASE WHEN $10 THEN $11 ELSE timezone END
    WHERE id = $1 RETURNING *
), audited AS (
    INSERT INTO audit_log (business_id, actor, action, details)
    SELECT id, $12, 'change_business', CASE WHEN $4 THEN jsonb_build_object('max_concurrent_calls', $5) END
    FROM changed
)
SELECT id AS business_id, name, max_concurrent_calls, from_number, default_region, timezone, created_at
FROM changed;
