-- Add a batch of counts to the usage counters once: a batch whose answer was lost is sent again under its number.
-- KEYS: number of the gateway's last batch, set of days, counters of the day.
-- ARGV: number of the batch, seconds to keep it, day, then alternately counter and count.
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return end
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
