-- Note what a unique add decided at its place, unless a job of its origin has decided there before, and hold the place
-- while it is written. Returns the decision that counts; nil if the place was lost, so that others may have gone before.
-- KEYS: fs:unique of the collection.
-- ARGV: origin, place, decision.
-- Constants: WRITE_S.
local now = tonumber(redis.call('TIME')[1])
local entry = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local place, held, decision = string.match(entry, '^(%d+) (%d+) (.*)$')
if place ~= ARGV[2] or tonumber(held) <= now then return false end
if decision == '' then decision = ARGV[3] end
redis.call('HSET', KEYS[1], ARGV[1], place .. ' ' .. (now + WRITE_S) .. ' ' .. decision)
redis.call('EXPIRE', KEYS[1], WRITE_S)
return decision
