-- Claim the deletion of a face. Returns 1 if this origin holds the claim, 0 if another does, WRITTEN while a job writes
-- the face. Where an add is open the claim is kept for as long as the add may be repeated.
-- KEYS: fs:deletion and fs:adding of the face.
-- ARGV: origin, seconds for which no other may claim, least seconds to remember the origin.
-- Constants: WRITTEN.
local now = tonumber(redis.call('TIME')[1])
local held = redis.call('GET', KEYS[1])
if held then
  local owner, ends = string.match(held, '^(%x+) (%d+)$')
  if owner ~= ARGV[1] and tonumber(ends) > now then return 0 end
end
local keep = tonumber(ARGV[3])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if last[1] then
  if tonumber(last[2]) > now then return WRITTEN end
  keep = math.max(keep, redis.call('TTL', KEYS[2]) + 1)
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. (now + ARGV[2]), 'EX', keep)
return 1
