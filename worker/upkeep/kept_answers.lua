-- Replace a field of a record if it still has the given value. Returns whether it had: 1 or 0.
-- KEYS: record.
-- ARGV: field, the value that it has, the value to put there.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
