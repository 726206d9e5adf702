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
    INSERT INTO audit_log (business_id, actor, action, details)
    SELECT id, $6, 'create_business', jsonb_build_object('name', name, 'max_concurrent_calls', max_concurrent_calls)
    FROM made
)
SELECT id AS business_id, name, max_concurrent_calls, from_number, default_region, timezone, created_at FROM made;

-- name: change_business
-- Each value with whether it is to be changed. The audit log keeps what it was and what it is, of those that differ.
-- $1 id  $2,$3 name  $4,$5 limit  $6,$7 from number  $8,$9 default region  $10,$11 time zone  $12 who
WITH was AS MATERIALIZED (
    SELECT * FROM businesses WHERE id = $1 FOR NO KEY UPDATE
), changed AS (
    UPDATE businesses b
    SET name = CASE WHEN $2 THEN $3 ELSE b.name END,
        max_concurrent_calls = CASE WHEN $4 THEN $5 ELSE b.max_concurrent_calls END,
        from_number = CASE WHEN $6 THEN $7 ELSE b.from_number END,
        default_region = CASE WHEN $8 THEN $9 ELSE b.default_region END,
        timezone = CASE WHEN $10 THEN $11 ELSE b.timezone END
    FROM was WHERE b.id = was.id RETURNING b.*
), audited AS (
    INSERT INTO audit_log (business_id, actor, action, details)
    SELECT changed.id, $12, 'change_business',
           (SELECT jsonb_object_agg(now.key, jsonb_build_object('from', before.value, 'to', now.value))
            FROM jsonb_each(to_jsonb(changed)) now JOIN jsonb_each(to_jsonb(was)) before USING (key)
            WHERE now.value <> before.value)
    FROM changed JOIN was USING (id) WHERE to_jsonb(changed) <> to_jsonb(was)
)
SELECT id AS business_id, name, max_concurrent_calls, from_number, default_region, timezone, created_at
FROM changed;
