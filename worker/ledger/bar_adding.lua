-- Leave a claim to a deletion that excludes no other, so that no job writes the face; one that is there stays as it is.
-- Returns 1, or WRITTEN while a job writes the face. Where an add is open the claim is kept for as long as the add may be
-- repeated.
-- KEYS: fs:deletion and fs:adding of the face.
-- ARGV: origin, least seconds to keep it.
-- Constants: RELEASED, WRITTEN.
local keep = tonumber(ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if last[1] then
  if tonumber(last[2]) > tonumber(redis.call('TIME')[1]) then return WRITTEN end
  keep = math.max(keep, redis.call('TTL', KEYS[2]) + 1)
end
if redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. RELEASED, 'NX', 'EX', keep) then return 1 end
if redis.call('TTL', KEYS[1]) < keep then redis.call('EXPIRE', KEYS[1], keep) end
return 1
