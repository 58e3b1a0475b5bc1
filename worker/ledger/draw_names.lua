-- Draw numbers for names; a job that draws again gets the same. Returns the first number.
-- KEYS: the collection's counter, the draw of the job's origin.
-- ARGV: how many numbers, seconds to remember the draw.
local drawn = redis.call('GET', KEYS[2])
if drawn then return tonumber(drawn) end
local first = redis.call('INCRBY', KEYS[1], ARGV[1]) - ARGV[1]
redis.call('SET', KEYS[2], first, 'EX', ARGV[2])
return first
