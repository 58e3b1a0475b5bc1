-- Free the place of an origin. A job that has not written what its origin decided keeps it until it ends: the faces may
-- be written nevertheless. Returns whether the origin has no place any more.
-- KEYS: fs:unique of the collection.
-- ARGV: origin, place, 1 if all that was decided is written.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 1 end
local place, decision = string.match(entry, '^(%d+) %d+ (.*)$')
if place ~= ARGV[2] or (ARGV[3] ~= '1' and decision ~= '') then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
