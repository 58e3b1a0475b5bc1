-- Keep the outcome of a request in its idempotency record, unless there is one. Returns the outcome that is kept, or
-- the given one if the record has expired. The first request's origin is needed until there is an outcome; the names
-- that it drew stay for a job that is delivered again.
-- KEYS: record, order of the tenant's records, draw of the origin, fs:adding of each face that was added.
-- ARGV: outcome, number of further records that it counts as, seconds to remember the draw.
-- Constants: OPEN, OUTCOME, ORIGIN.
if redis.call('EXISTS', KEYS[1]) == 0 then return ARGV[1] end
for face = 4, #KEYS do redis.call('ZREM', KEYS[face], OPEN) end
if redis.call('HSETNX', KEYS[1], OUTCOME, ARGV[1]) == 0 then return redis.call('HGET', KEYS[1], OUTCOME) end
redis.call('HDEL', KEYS[1], ORIGIN)
for _ = 1, ARGV[2] do redis.call('RPUSHX', KEYS[2], '') end
redis.call('EXPIRE', KEYS[3], ARGV[3])
return ARGV[1]
