-- Leave numbers out, so that names of another face database are not drawn again.
-- KEYS: the collection's counter.
-- ARGV: how many numbers are taken, from 0.
if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
