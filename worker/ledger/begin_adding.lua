-- Make a job a writer of the faces that nobody claimed to delete. Returns the claimed ones, counted from 0; nil if the
-- collection was dropped.
-- KEYS: DROPPED, fs:adding of each face, fs:deletion of each face, the idempotency record if there is one.
-- ARGV: collection, job id, WRITE_S, OUTLIVE_S, number of faces.
-- Constants: OPEN.
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return false end
local ends = redis.call('TIME')[1] + ARGV[3]
local count = tonumber(ARGV[5])
local record = KEYS[2 + 2 * count]
local keep = tonumber(ARGV[3])
if record then keep = math.max(redis.call('TTL', record), 0) + ARGV[4] end
local claimed = {}
for face = 1, count do
  local adding = KEYS[1 + face]
  if redis.call('EXISTS', KEYS[1 + count + face]) == 1 then
    table.insert(claimed, face - 1)
  else
    redis.call('ZADD', adding, ends, ARGV[2])
    if record then redis.call('ZADD', adding, 0, OPEN) end
    if redis.call('TTL', adding) < keep then redis.call('EXPIRE', adding, keep) end
  end
end
return claimed
